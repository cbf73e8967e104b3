package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"millrace/otlp"
)

func ofSpans(e *otlp.Exporter) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "millrace_spans_exported_total",
			Help: "Spans of this process that a collector has taken.",
		}, func() float64 { return float64(e.Exported()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "millrace_spans_dropped_total",
			Help: "Spans of this process that were lost, since there was no collector that took them, or no place to wait for it. It should stay 0.",
		}, func() float64 { return float64(e.Dropped()) }),
	}
}
