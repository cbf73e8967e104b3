package main

import (
	"log/slog"

	"millrace/metrics"
	"millrace/orders"
)

type metricsFlags struct {
	MetricsListen string `help:"Address of /metrics, in Prometheus's text, as in 127.0.0.1:9464; \"off\" for none." default:"off"`
}

// bindMetrics binds the address, and returns what answers there, nil if it is to be
// nobody. The orders are those that the process works on, nil for none.
func (f metricsFlags) bindMetrics(shop *orders.Orders, log *slog.Logger) (answer service, err error) {
	if f.MetricsListen == "off" || f.MetricsListen == "" {
		return nil, nil
	}
	m, err := metrics.New(metrics.Config{Listen: f.MetricsListen, Orders: shop, Logger: log})
	if err != nil {
		return nil, err
	}
	log.Info("tells what it counts", "metrics", m.Addr().String())
	return m.Run, nil
}
