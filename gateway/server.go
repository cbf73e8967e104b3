package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"

	"millrace/streams"
)

// server answers on one address, whatever its routes are.
type server struct {
	cfg      Config
	store    *streams.Store
	listener net.Listener
	app      *fiber.App
	// stopping ends when the server stops, for those who wait for a task; base,
	// which all handlers get, only when the time for their requests is over.
	stopping, base context.Context
	stop, abandon  context.CancelFunc
}

// newServer binds the address, and returns where its routes go. The flag is the one
// that sets it.
func newServer(store *streams.Store, cfg Config, flag string) (*server, *api, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, nil, fmt.Errorf("gateway: %w", err)
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("gateway: %w (choose another %s, a host and a port, as in 127.0.0.1:8081)", err, flag)
	}
	base, abandon := context.WithCancel(context.Background())
	stopping, stop := context.WithCancel(base)
	app := newApp(appConfig{BodyLimit: cfg.BodyLimit, Logger: cfg.Logger})
	crossing := &origins{allowed: cfg.Origins}
	app.Server().Handler = crossing.around(app.Server().Handler)
	s := &server{cfg: cfg, store: store, listener: listener, app: app, base: base, abandon: abandon, stopping: stopping, stop: stop}
	return s, newAPI(app, apiConfig{Version: cfg.Version, Base: base, Logger: cfg.Logger}), nil
}

// Addr is the address that is served on.
func (s *server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then lets the requests under way finish within
// [Config.Grace]. It returns nil after an orderly stop.
func (s *server) Run(ctx context.Context) error { return s.serve(ctx) }

// serve is Run where others have taken connections over, which are not the app's any
// more: each waits for those of its own to end, at most so long, before what they do is
// abandoned.
func (s *server) serve(ctx context.Context, others ...func(atMost time.Duration)) error {
	defer s.abandon()
	defer func() {
		s.stop()
		for _, wait := range others {
			wait(s.cfg.Grace)
		}
	}()
	served := make(chan error, 1)
	listener := s.listener
	if s.cfg.TLS != nil {
		listener = tls.NewListener(listener, s.cfg.TLS)
	}
	go func() { served <- s.app.Listener(lingeringListener{listener}) }()
	select {
	case err := <-served:
		return fmt.Errorf("gateway: %w", err)
	case <-ctx.Done():
	}
	// Those who wait for a task are answered with what there is to say.
	s.stop()
	if err := s.app.ShutdownWithTimeout(s.cfg.Grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("gateway: stop: %w", err)
	}
	// The app knows its listener only once it serves, which it may not yet.
	_ = s.listener.Close()
	if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}
