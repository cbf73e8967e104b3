package orders_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"millrace/embedded"
	"millrace/orders"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// bubble runs do on virtual time, from shortly after a full hour on.
func bubble(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	broker.Bubble(t, time.Now().Truncate(time.Hour).Add(time.Hour+3*time.Second), do)
}

// newBroker starts one that outlives all processes, so it need not sync what they
// write.
func newBroker(t *testing.T) *broker.Broker {
	t.Helper()
	return broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
}

// connect opens a store as a process does that works on orders.
func connect(t *testing.T, w broker.Way) *streams.Store {
	t.Helper()
	store, err := streams.Open(t.Context(), streams.Config{InProcess: w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// run runs a worker and a scheduler on orders until the test ends, or what it returns
// is called.
func run(t *testing.T, o *orders.Orders, store *streams.Store) (stop func()) {
	t.Helper()
	p := processor.New(store, processor.Config{})
	o.Register(p)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, service := range []interface{ Run(context.Context) error }{p, scheduler.New(store, scheduler.Config{})} {
		running.Go(func() {
			if err := service.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}
