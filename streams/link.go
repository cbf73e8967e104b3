package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// errLinkDown ends what was under way when the connection went.
var errLinkDown = fmt.Errorf("%w: the connection was lost", millrace.ErrUnavailable)

// link tells everybody who waits for an answer that none will come: a request
// that was sent on a connection which is gone would else wait for its timeout.
type link struct {
	mu   sync.Mutex
	ctx  context.Context
	down context.CancelCauseFunc
}

func newLink() *link {
	l := &link{}
	l.ctx, l.down = context.WithCancelCause(context.Background())
	return l
}

// current is a context that lasts as long as the connection that is up now.
func (l *link) current() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx
}

// bind returns a context that ends with ctx, and when the connection that is up
// now is lost. Cancel it when done.
func (l *link) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.current(), func() { cancel(errLinkDown) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (l *link) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down(errLinkDown)
}

func (l *link) restored() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		l.ctx, l.down = context.WithCancelCause(context.Background())
	}
}

// connect dials until a server answers or ctx ends. Afterwards the client
// reconnects for ever, and buffers nothing while it is away: what a caller was
// told has failed must not be stored later behind its back.
func connect(ctx context.Context, cfg Config) (*nats.Conn, *link, error) {
	l := newLink()
	access, err := cfg.Access.options()
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", Redacted(cfg.URL), err)
	}
	opts := append(access,
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(10*time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			l.lost()
			if err != nil {
				cfg.Logger.Warn("lost the connection to the broker", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			l.restored()
			cfg.Logger.Info("connected to the broker again", "url", nc.ConnectedUrlRedacted())
		}),
		nats.ClosedHandler(func(*nats.Conn) { l.lost() }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			cfg.Logger.Warn("the broker reports", "error", err)
		}),
	)
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	}
	told := false
	for {
		nc, err := nats.Connect(cfg.URL, opts...)
		if err == nil {
			return nc, l, nil
		}
		if !transient(err) {
			return nil, nil, fmt.Errorf("connect to %s: %w", Redacted(cfg.URL), err)
		}
		if !told {
			cfg.Logger.Warn("no broker yet, trying until there is one", "url", Redacted(cfg.URL), "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%w: no server at %s: %w", millrace.ErrUnavailable, Redacted(cfg.URL), ctx.Err())
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// transient reports whether it may help to try again: the broker is not there, or is
// going, or has only just come.
func transient(err error) bool {
	for _, known := range []error{
		nats.ErrNoServers, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrStaleConnection,
		jetstream.ErrNoStreamResponse, context.DeadlineExceeded, io.EOF,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return refused.Code == http.StatusServiceUnavailable
	}
	_, broken := errors.AsType[*net.OpError](err)
	return broken
}
