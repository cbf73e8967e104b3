package metrics_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/embedded"
	"millrace/metrics"
	"millrace/orders"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// An order whose timer is lost is found by the sweep, and counted.
func TestLostTimer(t *testing.T) {
	var shop *orders.Orders
	broker.Bubble(t, time.Now().Truncate(time.Hour).Add(time.Hour), func(t *testing.T) {
		b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
		store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		shop = orders.New(store, orders.Config{})
		work(t, store, shop)
		if _, err := shop.Place(t.Context(), orders.Placement{
			OrderID: "forgotten", Currency: "GBP", Items: []orders.Line{{SKU: "22632", Quantity: 1, UnitPriceMinor: 250}},
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		js := broker.Inspect(t, b)
		for shard := range 4 {
			stream, err := js.Stream(t.Context(), fmt.Sprintf("SCHEDULES_%d", shard))
			if err == nil {
				err = stream.Purge(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := scheduler.NewBook(store).Install(t.Context(), orders.Reconciling()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if o, _, err := shop.Get(t.Context(), "forgotten"); err != nil || o.State != orders.Expired {
			t.Errorf("%+v, %v", o, err)
		}
	})
	_, text := get(t, serve(t, metrics.Config{Orders: shop})+"/metrics")
	if !strings.Contains(text, "\n# TYPE millrace_orders_repaired_total counter\nmillrace_orders_repaired_total 1\n") {
		t.Error(text)
	}
}

// work runs a worker and a scheduler until the test ends.
func work(t *testing.T, store *streams.Store, shop *orders.Orders) {
	t.Helper()
	p := processor.New(store, processor.Config{})
	shop.Register(p)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{p.Run, scheduler.New(store, scheduler.Config{}).Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { stop(); running.Wait() })
}
