package orders_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"millrace/orders"
)

// Four processes are after the last of one SKU, all the time. An order of other goods
// waits for nobody, whichever of them it comes to, and all of those get through.
func TestNobodyStarves(t *testing.T) {
	b := newBroker(t)
	var ledgers []*orders.Orders
	for range 4 {
		ledgers = append(ledgers, orders.New(connect(t, b), orders.Config{}))
	}
	for _, sku := range []string{"HOT", "COLD-0", "COLD-1", "COLD-2", "COLD-3"} {
		if _, _, err := ledgers[0].SetStock(t.Context(), sku, 1_000_000, ""); err != nil {
			t.Fatal(err)
		}
	}

	order := func(o *orders.Orders, id, sku string) {
		p := mugs(id)
		p.Items = []orders.Line{{SKU: sku, Quantity: 1, UnitPriceMinor: 1}}
		results, err := o.Decide(t.Context(), placing(p)...)
		if err != nil || results[0].Err != nil || results[0].Value.State != orders.AwaitingPayment {
			t.Errorf("%+v, %v", results, err)
		}
	}
	var hot atomic.Int64
	var hammering, cold sync.WaitGroup
	stop := make(chan struct{})
	for i, o := range ledgers {
		for j := range 8 {
			hammering.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
						order(o, fmt.Sprintf("hot-%d-%d-%d", i, j, n), "HOT")
						hot.Add(1)
					}
				}
			})
		}
	}
	for i, o := range ledgers {
		cold.Go(func() {
			for n := range 10 {
				before := hot.Load()
				order(o, fmt.Sprintf("cold-%d-%d", i, n), fmt.Sprintf("COLD-%d", i))
				if passed := hot.Load() - before; passed > 150 {
					t.Errorf("%d orders of other goods went first", passed)
				}
			}
		})
	}
	cold.Wait()
	close(stop)
	hammering.Wait()
	for sku, want := range map[string]int64{"HOT": hot.Load(), "COLD-0": 10, "COLD-1": 10, "COLD-2": 10, "COLD-3": 10} {
		if s, _, err := ledgers[1].Stock(t.Context(), sku); err != nil || s.Reserved != want {
			t.Errorf("%s: %+v, not %d; %v", sku, s, want, err)
		}
	}
	t.Logf("%d orders of the one SKU", hot.Load())
}
