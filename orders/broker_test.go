package orders_test

import (
	"context"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/embedded"
	"millrace/orders"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
)

// bubble runs do on virtual time. The server compares the age of messages with a clock
// that is one per process: it must not start inside, and what is older to it than now
// has expired.
func bubble(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	ats.Register()
	defer ats.Unregister()
	emptyPools()
	defer emptyPools() // also if it fails
	from := time.Now().Truncate(time.Hour).Add(time.Hour + 3*time.Second)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(from))
		do(t)
	})
}

// emptyPools makes sure that no timer crosses a bubble's border: the NATS client
// keeps used ones in a pool, and a pool forgets in two collections what it holds.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}

// broker is a server, and what several processes have in common. It outlives all of
// them, so it need not sync what they write.
type broker struct{ *embedded.Server }

func newBroker(t *testing.T) *broker {
	t.Helper()
	server, err := embedded.Start(context.Background(), embedded.Config{DataDir: filepath.Join(t.TempDir(), "data"), Port: -1, Sync: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return &broker{server}
}

// way is how a process gets to the broker.
type way interface {
	InProcessConn() (net.Conn, error)
}

// connect opens a store as a process does that works on orders.
func connect(t *testing.T, w way) *streams.Store {
	t.Helper()
	store, err := streams.Open(t.Context(), streams.Config{InProcess: w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// inspect connects as any NATS client would.
func inspect(t *testing.T, w way) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(w))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
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
