package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"millrace"
	"millrace/streams"
)

// ofKinds tells of the tasks of each queue and kind, of which there are so many at most.
type ofKinds struct{ kinds *streams.Kinds }

var (
	kindSubmitted = described("millrace_kind_submitted_total", "Tasks of a kind that this process has taken in.", "queue", "kind")
	kindFinished  = described("millrace_kind_finished_total", "Tasks of a kind that this process has brought to their end.", "queue", "kind", "state")
	kindRetried   = described("millrace_kind_attempts_failed_total", "Attempts of a kind in this process that failed and are followed by another.", "queue", "kind")
	kindRun       = described("millrace_kind_run_seconds", "From when a handler of a kind was called to its outcome, one for each attempt in this process.", "queue", "kind")
)

// Describe implements [prometheus.Collector].
func (o ofKinds) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{kindSubmitted, kindFinished, kindRetried, kindRun} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (o ofKinds) Collect(to chan<- prometheus.Metric) {
	for l, k := range o.kinds.All() {
		count := func(d *prometheus.Desc, v int64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{l.Queue, l.Kind}, labels...)...)
		}
		count(kindSubmitted, k.Submitted.Load())
		count(kindFinished, k.Succeeded.Load(), string(millrace.Succeeded))
		count(kindFinished, k.Failed.Load(), string(millrace.Failed))
		count(kindFinished, k.Cancelled.Load(), string(millrace.Cancelled))
		count(kindRetried, k.Retried.Load())
		r := k.Run.Read()
		to <- prometheus.MustNewConstHistogram(kindRun, r.Count, r.Sum, r.AtMost, l.Queue, l.Kind)
	}
}
