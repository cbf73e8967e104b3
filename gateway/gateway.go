// Package gateway is the HTTP API: it takes tasks and orders, answers once they
// are on disk, and shows what became of them.
//
// Start reading at routes.go, the whole surface on one page; tasks.go, schedules.go,
// orders.go and stock.go are what is behind it, claims.go keeps a request that is sent twice
// from being done twice, and rules.go says which error is which answer.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"

	"millrace/orders"
	"millrace/scheduler"
	"millrace/streams"
)

// Config is how a gateway works. The zero value is a sensible one.
type Config struct {
	// Listen is the address to serve on. Empty means 127.0.0.1:8080; port 0
	// picks a free one, see [Gateway.Addr].
	Listen string
	// BodyLimit is the most bytes a body may have. Zero means 256 KiB.
	BodyLimit int
	// MaxWait is the longest that a GET may wait for a task. Zero means 60 s.
	MaxWait time.Duration
	// Grace is how long requests may take to end when the gateway stops. Zero
	// means 10 s.
	Grace time.Duration
	// Ready says what else must be so for /readyz to be well: an error that wraps
	// [millrace.ErrUnavailable]. Nil means nothing.
	Ready func() error
	// Orders are the orders to serve. Nil means those of the store, dealt with as the
	// zero [orders.Config] says.
	Orders *orders.Orders
	// Version is what the API's description says. Empty means "dev".
	Version string
	// Logger gets what is unexpected. Nil means silence.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:8080")
	c.BodyLimit = cmp.Or(c.BodyLimit, 256<<10)
	c.MaxWait = cmp.Or(c.MaxWait, time.Minute)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	c.Version = cmp.Or(c.Version, "dev")
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.BodyLimit < 1 {
		errs = append(errs, fmt.Errorf("the body limit must be at least 1 byte, not %d", c.BodyLimit))
	}
	if c.MaxWait < 0 || c.Grace < 0 {
		errs = append(errs, errors.New("times must not be negative"))
	}
	return errors.Join(errs...)
}

// Gateway serves the API. Make one with [New], which binds its address.
type Gateway struct {
	cfg      Config
	store    *streams.Store
	orders   *orders.Orders
	book     *scheduler.Book
	claims   *claims
	listener net.Listener
	app      *fiber.App
	// stopping ends when the gateway stops, for those who wait for a task; base,
	// which all handlers get, only when the time for their requests is over.
	stopping, base context.Context
	stop, abandon  context.CancelFunc
}

// New binds the address, so that a port in use is known at once. Then call
// [Gateway.Run].
func New(store *streams.Store, cfg Config) (*Gateway, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w (choose another --listen, a host and a port, as in 127.0.0.1:8081)", err)
	}
	base, abandon := context.WithCancel(context.Background())
	stopping, stop := context.WithCancel(base)
	app := newApp(appConfig{BodyLimit: cfg.BodyLimit, Logger: cfg.Logger})
	g := &Gateway{
		cfg: cfg, store: store, orders: cmp.Or(cfg.Orders, orders.New(store, orders.Config{})), book: scheduler.NewBook(store), claims: newClaims(store.Claims(), cfg.Logger),
		listener: listener, app: app, base: base, abandon: abandon, stopping: stopping, stop: stop,
	}
	g.routes(newAPI(app, apiConfig{Version: cfg.Version, Base: base, Logger: cfg.Logger}))
	return g, nil
}

// Addr is the address that the gateway serves on.
func (g *Gateway) Addr() net.Addr { return g.listener.Addr() }

// Run serves until ctx ends, then lets the requests under way finish within
// [Config.Grace]. It returns nil after an orderly stop.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.abandon()
	served := make(chan error, 1)
	go func() { served <- g.app.Listener(lingeringListener{g.listener}) }()
	select {
	case err := <-served:
		return fmt.Errorf("gateway: %w", err)
	case <-ctx.Done():
	}
	// Those who wait for a task are answered with what there is to say.
	g.stop()
	if err := g.app.ShutdownWithTimeout(g.cfg.Grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("gateway: stop: %w", err)
	}
	// The app knows its listener only once it serves, which it may not yet.
	_ = g.listener.Close()
	if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}
