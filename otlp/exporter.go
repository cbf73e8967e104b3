package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Exporter takes spans and sends them. Make one with [New]; nil is one that records
// nothing.
type Exporter struct {
	cfg     Config
	encoder encoder
	client  *http.Client
	log     *slog.Logger

	mu    sync.Mutex
	queue []Span
	ended bool          // Run has: what is recorded now is dropped
	full  chan struct{} // holds one when there is a whole batch

	exported, dropped atomic.Uint64

	// Of Run alone: how often in a row the collector could take nothing, and when it may
	// be asked again.
	failures int
	next     time.Time
}

// New returns an exporter that has sent nothing yet. An error says what is wrong with the
// configuration.
func New(cfg Config) (*Exporter, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	client := &http.Client{
		Transport: cfg.Transport, Timeout: cfg.Timeout,
		// What goes with a request, such as a key, is for this URL only.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Exporter{cfg: cfg, encoder: newEncoder(cfg), client: client, log: cfg.Logger, full: make(chan struct{}, 1)}, nil
}

// Record has a span sent, unless its trace is not recorded. It never waits: where the
// queue is full, the span is dropped and counted. The span's Attrs are the exporter's from
// now on.
func (e *Exporter) Record(s Span) {
	if e == nil || !s.Trace.Sampled() {
		return
	}
	e.mu.Lock()
	taken := len(e.queue) < e.cfg.Queue && !e.ended
	if taken {
		e.queue = append(e.queue, s)
	}
	ready := len(e.queue) >= e.cfg.Batch
	e.mu.Unlock()
	if !taken {
		e.dropped.Add(1)
	}
	if ready {
		select {
		case e.full <- struct{}{}:
		default:
		}
	}
}

// Exported is how many spans a collector has taken.
func (e *Exporter) Exported() uint64 { return e.exported.Load() }

// Dropped is how many spans were lost: there was no place for them, or no collector that
// took them.
func (e *Exporter) Dropped() uint64 { return e.dropped.Load() }

// Run sends what is recorded until ctx ends, and then the rest, within [Config.Grace]. It
// returns nil, whatever became of that.
func (e *Exporter) Run(ctx context.Context) error {
	defer e.client.CloseIdleConnections()
	e.log.Info("exports spans", "to", e.where())
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(e.cfg.Grace):
			stop()
		case <-sending.Done():
		}
	})()
	tick := time.NewTicker(e.cfg.Every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-e.full:
			e.flush(sending, e.cfg.Batch)
		case <-tick.C:
			e.flush(sending, 1)
		}
	}
	e.flush(sending, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	e.dropped.Add(uint64(len(e.queue)))
	e.queue = nil
	return nil
}

// where is the URL without what is secret in it.
func (e *Exporter) where() string {
	u, err := url.Parse(e.cfg.URL)
	if err != nil {
		return "" // it was checked
	}
	u.RawQuery = ""
	return u.Redacted()
}

// flush sends what is in the queue now, in batches of no less than that. What is recorded
// meanwhile waits for others.
func (e *Exporter) flush(ctx context.Context, least int) {
	e.mu.Lock()
	rest := len(e.queue)
	e.mu.Unlock()
	for rest >= least {
		batch := e.take(rest)
		rest -= len(batch)
		e.send(ctx, batch)
	}
}

// take takes a batch out of the queue, of so many at most.
func (e *Exporter) take(most int) []Span {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(most, e.cfg.Batch)
	batch := e.queue[:n:n]
	if e.queue = e.queue[n:]; len(e.queue) == 0 {
		e.queue = nil
	}
	return batch
}

// send sends a batch until it is taken, refused, or its time is over. Meanwhile others
// wait in the queue.
func (e *Exporter) send(ctx context.Context, batch []Span) {
	body, err := e.encoder.encode(batch)
	if err != nil {
		e.lose(len(batch), err)
		return
	}
	for begun := time.Now(); ; {
		if !e.wait(ctx) {
			e.lose(len(batch), errors.New("the process ends before a collector took them"))
			return
		}
		refused, err := e.post(ctx, body)
		busy, isBusy := errors.AsType[*busyError](err)
		if isBusy {
			e.putOff(busy)
		}
		switch {
		case err == nil:
			e.sent(len(batch), refused)
			return
		case !isBusy, time.Since(begun) >= e.cfg.Patience:
			e.lose(len(batch), err)
			return
		}
	}
}

// wait waits until the collector may be asked again. It is false if ctx ends before.
func (e *Exporter) wait(ctx context.Context) bool {
	timer := time.NewTimer(time.Until(e.next))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// The waits between tries double up to the longest, with a jitter of a half, so that those
// who hear no at once do not come back at once.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second
	// A collector may ask for more, but not for ever.
	longestAsked = 5 * time.Minute
)

func (e *Exporter) putOff(busy *busyError) {
	pause := min(firstWait<<min(e.failures, 10), longestWait)
	pause = pause/2 + rand.N(pause/2)
	e.next = time.Now().Add(max(pause, min(busy.after, longestAsked)))
	if e.failures++; e.failures == 1 {
		e.log.Warn("a collector takes no spans now, trying again", "error", busy)
	}
}

func (e *Exporter) sent(n int, refused refusal) {
	if e.failures > 0 {
		e.log.Info("a collector takes spans again", "dropped", e.Dropped())
	}
	e.failures = 0
	lost := min(max(refused.spans, 0), int64(n))
	e.exported.Add(uint64(int64(n) - lost))
	if lost > 0 || refused.message != "" {
		e.log.Warn("a collector did not take all spans", "dropped", lost, "message", refused.message)
	}
	e.dropped.Add(uint64(lost))
}

func (e *Exporter) lose(n int, err error) {
	e.dropped.Add(uint64(n))
	e.log.Warn("spans are lost", "dropped", n, "error", err)
}
