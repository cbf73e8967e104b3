// Package gateway is the HTTP API: it takes tasks and orders, answers once they
// are on disk, and shows what became of them.
//
// A process without the API has a [Health] instead, which says how it is and nothing
// else.
//
// Start reading at routes.go, the whole surface on one page; tasks.go, schedules.go,
// orders.go and stock.go are what is behind it, feed.go and hub.go what is watched,
// claims.go keeps a request that is sent twice from being done twice, webhook.go hears from the
// payment provider, and rules.go says which error is which answer.
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"millrace/orders"
	"millrace/otlp"
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
	// BulkLimit is the most bytes that the body of POST /v1/tasks/bulk may have, of
	// which each line may have BodyLimit. Zero means 64 MiB.
	BulkLimit int64
	// MaxWait is the longest that a GET may wait for a task. Zero means 60 s.
	MaxWait time.Duration
	// MaxStreams is how many clients may watch events at once; whoever comes then is
	// asked to come back. Zero means 10,000.
	MaxStreams int
	// Grace is how long requests may take to end when the gateway stops. Zero
	// means 10 s.
	Grace time.Duration
	// Ready says what else must be so for /readyz to be well: its error is shown.
	// Nil means nothing.
	Ready func() error
	// PaymentSecrets are what payment webhooks are signed with: "whsec_" and the
	// base64 of 24 to 64 bytes. Any of them will do, so that one can be replaced by
	// another. None means that there are no payment webhooks.
	PaymentSecrets []string
	// Orders are the orders to serve. Nil means those of the store, dealt with as the
	// zero [orders.Config] says.
	Orders *orders.Orders
	// AdminKeys are keys with the scope admin that are good besides those that are made:
	// for who begins, and where a gateway must be guarded from its first request on.
	AdminKeys []string
	// Insecure lets everybody do everything who reaches the gateway, wherever it listens,
	// until there is a key. Without it, only a loopback address does that.
	Insecure bool
	// TLS is how connections are kept private. Nil means that they are not.
	TLS *tls.Config
	// SecureCookies says that browsers come by https though there is no TLS here, since a
	// proxy ends it: they are to send cookies in no other way.
	SecureCookies bool
	// Origins are those, as in https://shop.example, whose pages a browser lets use the
	// API. None means only its own.
	Origins []string
	// Spans takes a span of each request that changes something, or is of a trace. Nil
	// means that there are none.
	Spans *otlp.Exporter
	// Disk says how much of the disk that the broker writes to is taken, and how large it
	// is, zero if that has no limit. Nil asks the broker.
	Disk func(context.Context) (used, size uint64, err error)
	// Version is what the API's description says. Empty means "dev".
	Version string
	// Logger gets what is unexpected. Nil means silence.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:8080")
	c.BodyLimit = cmp.Or(c.BodyLimit, 256<<10)
	c.BulkLimit = cmp.Or(c.BulkLimit, 64<<20)
	c.MaxWait = cmp.Or(c.MaxWait, time.Minute)
	c.MaxStreams = cmp.Or(c.MaxStreams, 10_000)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	c.Version = cmp.Or(c.Version, "dev")
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// secure reports whether browsers come by https.
func (c Config) secure() bool { return c.TLS != nil || c.SecureCookies }

func (c Config) validate() error {
	var errs []error
	if c.BodyLimit < 1 {
		errs = append(errs, fmt.Errorf("the body limit must be at least 1 byte, not %d", c.BodyLimit))
	}
	if c.BulkLimit < 1 {
		errs = append(errs, fmt.Errorf("the bulk limit must be at least 1 byte, not %d", c.BulkLimit))
	}
	if c.MaxStreams < 0 {
		errs = append(errs, fmt.Errorf("the number of streams must not be negative, but is %d", c.MaxStreams))
	}
	if c.MaxWait < 0 || c.Grace < 0 {
		errs = append(errs, errors.New("times must not be negative"))
	}
	for _, origin := range c.Origins {
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			errs = append(errs, fmt.Errorf("the origin %q must be a scheme and a host as browsers say them, as in https://shop.example", origin))
		}
	}
	return errors.Join(errs...)
}

// Gateway serves the API. Make one with [New], which binds its address.
type Gateway struct {
	*server
	orders  *orders.Orders
	book    *scheduler.Book
	claims  *claims
	webhook *paymentWebhook
	hub     *hub
	bulk    *bulkDesk
	live    *live
	stats   statsDesk
	door    *door

	requests func() []*requestCount
}

// New binds the address, so that a port in use is known at once. Then call
// [Gateway.Run].
func New(store *streams.Store, cfg Config) (*Gateway, error) {
	cfg = cfg.withDefaults()
	if cfg.Disk == nil {
		cfg.Disk = store.Storage
	}
	shop := cmp.Or(cfg.Orders, orders.New(store, orders.Config{}))
	webhook, err := newPaymentWebhook(cfg.PaymentSecrets, store.Claims(), cfg.Logger, func(ctx context.Context, orderID, reference string, amountMinor int64, currency string) error {
		_, _, err := shop.Pay(ctx, orderID, orders.Payment{Reference: reference, AmountMinor: amountMinor, Currency: currency})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s, a, err := newServer(store, cfg, "--listen")
	if err != nil {
		return nil, err
	}
	starting, started := context.WithTimeout(s.base, startTime)
	defer started()
	d, err := newDoor(starting, store, s.cfg, isLocal(s.Addr()))
	if err != nil {
		s.abandon()
		_ = s.listener.Close()
		return nil, err
	}
	a.adapter.door, a.adapter.spans, a.adapter.scheme = d, cfg.Spans, "http"
	if cfg.TLS != nil {
		a.adapter.scheme = "https"
	}
	g := &Gateway{
		door:   d,
		server: s, orders: shop, book: scheduler.NewBook(store), claims: newClaims(store.Claims(), cfg.Logger), webhook: webhook,
		hub: newHub(s.stopping, store.Ledger(), cfg.MaxStreams, cfg.Logger), bulk: newBulkDesk(s),
	}
	g.live, g.requests = newLive(g), func() []*requestCount { return a.adapter.seen }
	g.routes(a)
	g.pageRoutes()
	return g, nil
}

// Run serves until ctx ends, then lets the requests under way finish within
// [Config.Grace]. It returns nil after an orderly stop.
func (g *Gateway) Run(ctx context.Context) error {
	// Lines that were read are submitted and answered. Those who watch are told to come
	// again, elsewhere or later.
	watching, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		if err := g.door.watch(watching); err != nil {
			g.cfg.Logger.Error("keys that are made or revoked are not heard of", "error", err)
		}
	})
	defer watch.Wait()
	defer unwatch()
	return g.serve(ctx, g.bulk.wait, g.hub.wait, g.live.wait)
}

// startTime is how long the broker may take to tell of the keys.
const startTime = 30 * time.Second
