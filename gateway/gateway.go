// Package gateway is the HTTP API: it takes tasks and orders, answers once they
// are on disk, and shows what became of them.
//
// A process without the API has a [Health] instead, which says how it is and nothing
// else.
//
// Start reading at routes.go, the whole surface on one page; tasks.go, schedules.go
// and orders.go are what is behind it, claims.go keeps a request that is sent twice
// from being done twice, and rules.go says which error is which answer.
package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

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
	// Ready says what else must be so for /readyz to be well: its error is shown.
	// Nil means nothing.
	Ready func() error
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
	*server
	orders *orders.Orders
	book   *scheduler.Book
	claims *claims
}

// New binds the address, so that a port in use is known at once. Then call
// [Gateway.Run].
func New(store *streams.Store, cfg Config) (*Gateway, error) {
	s, a, err := newServer(store, cfg, "--listen")
	if err != nil {
		return nil, err
	}
	g := &Gateway{s, orders.New(store), scheduler.NewBook(store), newClaims(store.Claims(), s.cfg.Logger)}
	g.routes(a)
	return g, nil
}
