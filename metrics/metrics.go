// Package metrics tells in Prometheus's text how a process does: what its parts have
// counted, and how Go's runtime and the process itself are.
//
// The parts count for themselves and know nothing of Prometheus; here each count gets
// its name. Start reading at [New]; orders.go is the example of a part.
package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"millrace/orders"
	"millrace/otlp"
	"millrace/streams"
)

// Config says where to serve, and which parts the process has. A part that is nil has
// no metrics.
type Config struct {
	// Listen is the address of /metrics, as in 127.0.0.1:9464; port 0 picks a free
	// one, see [Metrics.Addr].
	Listen string
	// Store is the process's.
	Store *streams.Store
	// Requests tells what the process's API was asked for.
	Requests func() []Route
	// Orders are those that the process works on.
	Orders *orders.Orders
	// Spans are those that the process exports.
	Spans *otlp.Exporter
	// Logger hears of what cannot be collected. Nil means silence.
	Logger *slog.Logger
}

// Metrics serves them at /metrics. Make one with [New].
type Metrics struct {
	listener net.Listener
	server   *http.Server
	ofStore  *ofStore // nil without one
}

// New binds the address, so that a port in use is known at once. Then call
// [Metrics.Run].
func New(cfg Config) (*Metrics, error) {
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w (choose another --metrics-listen, a host and a port, as in 127.0.0.1:9464)", err)
	}
	var o *ofStore
	if cfg.Store != nil {
		o = &ofStore{store: cfg.Store, log: func(err error) {
			cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)).Warn("some metrics are missing", "error", err)
		}}
	}
	server := &http.Server{
		Handler: cfg.handler(o), ErrorLog: cfg.errorLog(),
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10,
	}
	return &Metrics{listener: listener, server: server, ofStore: o}, nil
}

func (c Config) handler(o *ofStore) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if o != nil {
		registry.MustRegister(o, ofKinds{c.Store.Kinds()})
	}
	if c.Requests != nil {
		registry.MustRegister(ofRequests(c.Requests))
	}
	if c.Orders != nil {
		registry.MustRegister(ofOrders(c.Orders)...)
	}
	if c.Spans != nil {
		registry.MustRegister(ofSpans(c.Spans)...)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: c.errorLog()}))
	return mux
}

func (c Config) errorLog() *log.Logger {
	logger := cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return slog.NewLogLogger(logger.Handler(), slog.LevelError)
}

// Addr is the address that is served on.
func (m *Metrics) Addr() net.Addr { return m.listener.Addr() }

// Run serves until ctx ends. It returns nil after an orderly stop.
func (m *Metrics) Run(ctx context.Context) error {
	if m.ofStore != nil {
		ctx, stop := context.WithCancel(ctx)
		var asking sync.WaitGroup
		asking.Go(func() { m.ofStore.run(ctx) })
		defer asking.Wait()
		defer stop()
	}
	served := make(chan error, 1)
	go func() { served <- m.server.Serve(m.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("metrics: %w", err)
	case <-ctx.Done():
	}
	// Nobody misses what they were about to be told.
	err := m.server.Close()
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		return fmt.Errorf("metrics: stop: %w", err)
	}
	return nil
}
