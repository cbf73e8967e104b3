package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace"
	"millrace/client"
	"millrace/embedded"
	"millrace/gateway"
	"millrace/orders"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// What fasthttp keeps for good, once per process or for 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// mill is a whole Millrace whose gateway can go away and come back.
type mill struct {
	t       testing.TB
	store   *streams.Store
	address string // of the gateway
	stop    func() // the gateway

	mu   sync.Mutex
	done []string // the ids of the tasks that were carried out
}

func openMill(t testing.TB) *mill {
	t.Helper()
	b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
	store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	m := &mill{t: t, store: store, address: "127.0.0.1:0"}
	p := processor.New(store, processor.Config{})
	processor.Handle(p, "echo", func(_ context.Context, t millrace.Task[json.RawMessage]) (json.RawMessage, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.done = append(m.done, t.ID)
		return t.Args, nil
	}, processor.Kind{})
	processor.Handle(p, "fail", func(context.Context, millrace.Task[any]) (any, error) {
		return nil, millrace.Permanent(errors.New("no luck"))
	}, processor.Kind{})
	orders.New(store, orders.Config{}).Register(p)
	m.run(p.Run)
	m.run(scheduler.New(store, scheduler.Config{}).Run)
	m.serve()
	return m
}

// run runs a service until the test ends, or stop is called.
func (m *mill) run(service func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			m.t.Error(err)
		}
	})
	m.t.Cleanup(stop)
	return stop
}

// serve starts the gateway, for the first time or again, where it was.
func (m *mill) serve() {
	m.t.Helper()
	// Go's client opens connections that it then has no use for, and the gateway's stop
	// waits for their first request until its grace is over.
	g, err := gateway.New(m.store, gateway.Config{Listen: m.address, Grace: time.Second})
	if err != nil {
		m.t.Fatal(err)
	}
	m.address = g.Addr().String()
	m.stop = m.run(g.Run)
}

// client returns a client of the gateway, or of what is in front of it.
func (m *mill) client(front string, cfg client.Config) *client.Client {
	m.t.Helper()
	if front == "" {
		front = m.address
	}
	c, err := client.New("http://"+front, cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(c.Close)
	return c
}

// count is how many tasks were carried out so far.
func (m *mill) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.done)
}

// wantOnce checks that each task was carried out once, and nothing else.
func (m *mill) wantOnce(ids []string) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.Sort(ids)
	slices.Sort(m.done)
	if !slices.Equal(ids, m.done) {
		m.t.Errorf("%d tasks were submitted and %d carried out", len(ids), len(m.done))
	}
}

// lossy is a way to the gateway on which answers are lost: the gateway has done what was
// asked, and the client does not hear of it.
func (m *mill) lossy(lost func(*http.Request) bool) (address string) {
	m.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	transport := &http.Transport{}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", m.address
		resp, err := transport.RoundTrip(out)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		if lost(r) {
			panic(http.ErrAbortHandler)
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = fmt.Fprint(w, readAll(resp))
	})}
	m.run(func(ctx context.Context) error {
		defer transport.CloseIdleConnections()
		defer context.AfterFunc(ctx, func() { server.Close() })()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return listener.Addr().String()
}
