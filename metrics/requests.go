package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Route is what a route of the API was asked for since the start.
type Route struct {
	Method, Route string
	// Classes counts the answers by the first digit of their status, and Below those that
	// took less than so many seconds; Sum is how long all took.
	Classes map[int]uint64
	Below   map[float64]uint64
	Sum     time.Duration
}

var (
	requests    = described("millrace_http_requests_total", "Requests that were answered, by route and by the class of the status.", "method", "route", "status")
	requestTime = described("millrace_http_request_seconds", "From when a request had arrived to when its answer was made.", "method", "route")
)

// ofRequests tells what the API was asked for. There are as many routes as the API has.
type ofRequests func() []Route

// Describe implements [prometheus.Collector].
func (o ofRequests) Describe(to chan<- *prometheus.Desc) {
	to <- requests
	to <- requestTime
}

// Collect implements [prometheus.Collector].
func (o ofRequests) Collect(to chan<- prometheus.Metric) {
	for _, r := range o() {
		var all uint64
		for class, n := range r.Classes {
			all += n
			to <- prometheus.MustNewConstMetric(requests, prometheus.CounterValue, float64(n), r.Method, r.Route, fmt.Sprintf("%dxx", class))
		}
		to <- prometheus.MustNewConstHistogram(requestTime, all, r.Sum.Seconds(), r.Below, r.Method, r.Route)
	}
}
