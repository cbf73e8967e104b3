package main

import (
	"log/slog"

	"millrace/gateway"
	"millrace/metrics"
	"millrace/orders"
	"millrace/otlp"
	"millrace/streams"
)

type metricsFlags struct {
	MetricsListen string `help:"Address of /metrics, in Prometheus's text, as in 127.0.0.1:9464; \"off\" for none." default:"off"`
}

// bindMetrics binds the address, and returns what answers there, nil if it is to be
// nobody. The API, the orders and the spans are those of the process, nil for none.
func (f metricsFlags) bindMetrics(store *streams.Store, api *gateway.Gateway, shop *orders.Orders, spans *otlp.Exporter, log *slog.Logger) (answer service, err error) {
	if f.MetricsListen == "off" || f.MetricsListen == "" {
		return nil, nil
	}
	cfg := metrics.Config{Listen: f.MetricsListen, Store: store, Orders: shop, Spans: spans, Logger: log}
	if api != nil {
		cfg.Requests = func() []metrics.Route { return routesOf(api) }
	}
	m, err := metrics.New(cfg)
	if err != nil {
		return nil, err
	}
	log.Info("tells what it counts", "metrics", m.Addr().String())
	return m.Run, nil
}

func routesOf(api *gateway.Gateway) (all []metrics.Route) {
	for _, r := range api.Requests() {
		route := metrics.Route{Method: r.Method, Route: r.Route, Classes: r.Classes, Sum: r.Sum, Below: map[float64]uint64{}}
		for i, bound := range gateway.RequestBounds() {
			route.Below[bound.Seconds()] = r.Below[i]
		}
		all = append(all, route)
	}
	return all
}
