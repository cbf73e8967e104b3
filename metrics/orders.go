package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"millrace/orders"
)

func ofOrders(o *orders.Orders) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "millrace_orders_repaired_total",
			Help: "Orders that had been left behind, since something that follows from them was lost, and that this process's sweep has found. It should be none.",
		}, func() float64 { return float64(o.Repaired()) }),
	}
}
