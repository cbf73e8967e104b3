package main

import (
	"cmp"
	"log/slog"

	"millrace/gateway"
	"millrace/metrics"
	"millrace/orders"
	"millrace/otlp"
	"millrace/streams"
)

type metricsFlags struct {
	MetricsListen string `help:"Address of /metrics, in Prometheus's text; \"off\" for none. Unless given, 127.0.0.1:9464 if no other process has that." placeholder:"HOST:PORT"`
}

// defaultMetricsAddress is where the metrics are if nobody says where: the port that
// OpenTelemetry has for Prometheus.
const defaultMetricsAddress = "127.0.0.1:9464"

// bindMetrics binds the address, and returns what answers there, nil if it is to be
// nobody. The API, the orders and the spans are those of the process, nil for none.
func (f metricsFlags) bindMetrics(store *streams.Store, api *gateway.Gateway, shop *orders.Orders, spans *otlp.Exporter, log *slog.Logger) (answer service, err error) {
	if f.MetricsListen == "off" {
		return nil, nil
	}
	cfg := metrics.Config{Listen: cmp.Or(f.MetricsListen, defaultMetricsAddress), Store: store, Orders: shop, Spans: spans, Logger: log}
	if api != nil {
		cfg.Requests = func() []metrics.Route { return routesOf(api) }
	}
	m, err := metrics.New(cfg)
	if err != nil && f.MetricsListen == "" {
		log.Warn("metrics are not served: give this process a --metrics-listen of its own, or \"off\"", "error", err)
		return nil, nil
	}
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
