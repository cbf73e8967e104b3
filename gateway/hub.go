package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"millrace"
	"millrace/streams"
)

// hub reads the feed of order events once for all who watch it in this process. It
// encodes each event once and keeps the newest; clients are woken and take what
// follows the place where they are, so that a slow one holds up nobody and has no
// buffer of its own.
//
// It starts with the first who watches.
type hub struct {
	ledger  streams.Ledger
	log     *slog.Logger
	ctx     context.Context // ends the streams
	limit   int             // of open streams
	start   sync.Once
	ready   chan struct{} // closed once the window has reached the end of the feed
	replays chan struct{} // a place for each who may read from the broker at once
	running sync.WaitGroup

	mu     sync.Mutex
	open   int
	window window
	end    uint64        // the last event at the start
	news   chan struct{} // closed, and another made, when there is more
	bells  map[string]*bell
}

const (
	// tick is how often clients are written to at most: what comes meanwhile goes out
	// with one write to each.
	tick = 50 * time.Millisecond
	// fullRead is a read that leaves more behind, probably.
	fullRead = 200
	// windowBytes bounds what is kept for those who come again, and lookBack is how
	// far before the feed's end it begins, in messages: when a gateway has started
	// anew, its clients all come at once.
	windowBytes = 8 << 20
	lookBack    = 20_000
	// maxReplays is how many clients at once may read from the broker what is not in
	// the window any more.
	maxReplays = 8
	// pause is how long to wait when the broker does not answer.
	pause = 500 * time.Millisecond
)

func newHub(ctx context.Context, ledger streams.Ledger, limit int, log *slog.Logger) *hub {
	return &hub{
		ledger: ledger, log: log, ctx: ctx, limit: limit, ready: make(chan struct{}), replays: make(chan struct{}, maxReplays),
		window: window{limit: windowBytes}, news: make(chan struct{}), bells: map[string]*bell{},
	}
}

// enter takes a place for a stream, if there is one: leave gives it back.
func (h *hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open >= h.limit {
		return false
	}
	h.open++
	h.running.Add(1)
	h.start.Do(func() { h.running.Go(h.run) })
	return true
}

func (h *hub) leave() {
	h.mu.Lock()
	h.open--
	h.mu.Unlock()
	h.running.Done()
}

// wait waits for the streams to end, after the context of the hub has, at most so long.
func (h *hub) wait(atMost time.Duration) {
	h.mu.Lock()
	h.limit = 0 // whoever enters from now on is refused
	h.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		h.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(atMost):
	}
}

// run reads the feed until the gateway stops.
func (h *hub) run() {
	var feed *streams.Feed
	var failed error
	for h.ctx.Err() == nil {
		var events []streams.FeedEvent
		var err error
		if feed == nil {
			feed, err = h.begin()
		} else if events, err = feed.Next(h.ctx); err == nil {
			h.publish(events)
		}
		if failed == nil && err != nil && h.ctx.Err() == nil {
			h.log.Warn("the feed of order events is interrupted", "error", err)
		}
		if failed = err; err != nil {
			h.sleep(pause)
		} else if len(events) > 0 && len(events) < fullRead {
			h.sleep(tick)
		}
	}
	if feed != nil {
		feed.Close()
	}
}

// begin starts a little before the end of the feed. The window will then hold an event
// at least, if there ever was one: so whoever reads on the broker until there has seen
// with certainty all that lies between.
func (h *hub) begin() (*streams.Feed, error) {
	event, err := h.ledger.LastEvent(h.ctx)
	if err != nil {
		return nil, err
	}
	last, err := h.ledger.LastSequence(h.ctx)
	if err != nil {
		return nil, err
	}
	floor := min(max(last, lookBack)-lookBack, max(event, 1)-1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.window.floor, h.window.last, h.end = floor, floor, event
	h.readyIf(floor >= event)
	return h.ledger.Follow(floor), nil
}

func (h *hub) readyIf(so bool) {
	select {
	case <-h.ready:
	default:
		if so {
			close(h.ready)
		}
	}
}

func (h *hub) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-h.ctx.Done():
	}
}

// publish shows the events to everybody.
func (h *hub) publish(events []streams.FeedEvent) {
	if len(events) == 0 {
		h.mu.Lock()
		h.readyIf(true)
		h.mu.Unlock()
		return
	}
	c := newChunk(events)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.window.add(c)
	h.readyIf(h.window.last >= h.end)
	close(h.news)
	h.news = make(chan struct{})
	for _, e := range events {
		if b := h.bells[e.OrderID]; b != nil {
			b.ring(e.Sequence)
		}
	}
}

// position is the last event that clients were shown.
func (h *hub) position(ctx context.Context) (uint64, error) {
	select {
	case <-h.ready:
	case <-h.ctx.Done():
		return 0, h.ctx.Err()
	case <-ctx.Done():
		return 0, millrace.ErrUnavailable
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.window.last, nil
}

// next is the window's, and a channel that is closed when there is more.
func (h *hub) next(after uint64) (some []byte, last uint64, news <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	some, last, ok = h.window.next(after)
	return some, last, h.news, ok
}
