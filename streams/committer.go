package streams

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Group commit. With a synced store a publish costs a disk sync, and the server
// writes a stream's messages one by one: some thousand a second, whoever asks.
// An atomic batch costs about ten syncs whatever its size. So the writers of one
// stream meet in a committer, which takes whoever is waiting and writes them
// together, as a batch (see batch.go).
//
// While a batch is under way the next one gathers. The writers that a batch
// released come back within a moment if they come back at all, so the committer
// waits until those and the ones that gathered meanwhile are all there: for twice
// the time that the last batch took at most, and never more than maxPatience. Else
// they would split into two halves that always just miss each other's batch, at
// nearly twice the cost (measured: with 64 writers a fifth of the throughput).
//
// When the server does not sync each write, none of this pays, and every write
// goes out on its own (Config.Async).
const (
	maxWaiting  = 4096
	maxPatience = 20 * time.Millisecond
)

// committer writes to one stream, for many.
type committer struct {
	replies *replies
	grouped bool
	waiting chan *write   // who waits for the next batch
	places  chan struct{} // not grouped: how many may be in flight
	done    chan struct{} // closed when run has ended

	hasty    bool          // its writers do not come back soon, and are not waited for
	alone    atomic.Int64  // writers among those who wait that write one message
	expected int           // how many of those there seem to be
	took     time.Duration // how long the last batch took
}

func newCommitter(r *replies, grouped bool) *committer {
	return &committer{
		replies: r, grouped: grouped,
		waiting: make(chan *write, maxWaiting),
		places:  make(chan struct{}, maxWaiting),
		done:    make(chan struct{}),
	}
}

// write is a message on its way. Its committer takes it or its writer gives it
// up, whoever is first; so what a writer was told has failed is not stored later.
type write struct {
	msg     *nats.Msg
	claimed atomic.Bool
	verdict chan verdict
	// alone is for a writer of one message. One of many has brought them all, and is
	// not waited for.
	alone bool
}

type verdict struct {
	seq uint64
	err error
}

// store writes msg and returns its sequence. An error that wraps
// [millrace.ErrConflict], [millrace.ErrQueueFull] or [millrace.ErrInvalid] means
// that it was not stored. One that wraps [millrace.ErrUnavailable] means that it
// was not sent or that no answer came: then it may be stored all the same, and to
// write it again is safe only because of the revision that it expects.
func (c *committer) store(ctx context.Context, msg *nats.Msg) (uint64, error) {
	v := c.storeAll(ctx, []*nats.Msg{msg})[0]
	return v.seq, v.err
}

// storeAll writes many messages, with a verdict for each.
func (c *committer) storeAll(ctx context.Context, msgs []*nats.Msg) []verdict {
	return c.begin(ctx, msgs)()
}

// begin lets messages be written, behind all for which that was said before, and
// returns what waits for their verdicts.
func (c *committer) begin(ctx context.Context, msgs []*nats.Msg) func() []verdict {
	if !c.grouped {
		verdicts := c.storeEach(ctx, msgs)
		return func() []verdict { return verdicts }
	}
	writes := make([]*write, len(msgs))
	verdicts := make([]verdict, len(msgs))
	for i, m := range msgs {
		writes[i], verdicts[i].err = c.enqueue(ctx, m, len(msgs) == 1 && !c.hasty)
	}
	return func() []verdict {
		for i, w := range writes {
			if w != nil {
				verdicts[i].seq, verdicts[i].err = c.await(ctx, w)
			}
		}
		return verdicts
	}
}

func (c *committer) enqueue(ctx context.Context, msg *nats.Msg, alone bool) (*write, error) {
	if !c.replies.nc.IsConnected() {
		return nil, errLinkDown
	}
	// A batch that it breaks off would stay behind on the server for 10 s, and the
	// server takes 50 at once.
	if int64(msg.Size()) > c.replies.nc.MaxPayload()-maxHeaders {
		return nil, errTooLarge
	}
	w := &write{msg: msg, verdict: make(chan verdict, 1), alone: alone}
	select {
	case c.waiting <- w:
		if alone {
			c.alone.Add(1)
		}
		return w, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many writers wait: %w", millrace.ErrUnavailable, context.Cause(ctx))
	case <-c.done:
		return nil, errClosed
	}
}

func (c *committer) await(ctx context.Context, w *write) (uint64, error) {
	select {
	case v := <-w.verdict:
		return v.seq, v.err
	case <-ctx.Done():
		if w.claimed.CompareAndSwap(false, true) {
			return 0, fmt.Errorf("%w: not sent in time: %w", millrace.ErrUnavailable, context.Cause(ctx))
		}
	case <-c.done:
		if w.claimed.CompareAndSwap(false, true) {
			return 0, errClosed
		}
	}
	// It is under way: its verdict comes, within the timeout at the latest.
	v := <-w.verdict
	return v.seq, v.err
}

var errClosed = fmt.Errorf("%w: the store is closed", millrace.ErrUnavailable)

// run writes batch after batch until ctx ends.
func (c *committer) run(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case first := <-c.waiting:
			batch := c.gather(ctx, first)
			start := time.Now()
			err := batch.commit(ctx)
			c.took = time.Since(start)
			c.expected = batch.alone + int(c.alone.Load())
			if errors.Is(err, millrace.ErrUnavailable) && !errors.Is(err, errRefused) {
				c.refuseWaiting(err)
			}
		}
	}
}

// gather takes first and who else waits, or comes within a moment.
func (c *committer) gather(ctx context.Context, first *write) *batch {
	b := &batch{committer: c}
	b.take(first)
	var patience <-chan time.Time
	for !b.full() {
		select {
		case w := <-c.waiting:
			b.take(w)
			continue
		default:
		}
		if b.alone >= c.expected || len(b.writes) == 0 {
			break
		}
		if patience == nil {
			timer := time.NewTimer(min(2*c.took, maxPatience))
			defer timer.Stop()
			patience = timer.C
		}
		select {
		case w := <-c.waiting:
			b.take(w)
			continue
		case <-patience:
		case <-ctx.Done():
		}
		break
	}
	return b
}

// refuseWaiting tells those who wait that the broker does not answer. They have
// waited while others found out, and their messages are not sent.
func (c *committer) refuseWaiting(err error) {
	for range len(c.waiting) {
		w := <-c.waiting
		if c.left(w); w.claimed.CompareAndSwap(false, true) {
			w.verdict <- verdict{0, err}
		}
	}
}

// left counts a writer that does not wait any more.
func (c *committer) left(w *write) {
	if w.alone {
		c.alone.Add(-1)
	}
}

// storeEach publishes every message on its own, in flight together. It bounds how
// many are: the server drops what comes faster than it can take.
func (c *committer) storeEach(ctx context.Context, msgs []*nats.Msg) []verdict {
	verdicts := make([]verdict, len(msgs))
	calls := make([]*call, len(msgs))
	settled := 0
	settle := func() {
		if call := calls[settled]; call != nil {
			verdicts[settled].seq, verdicts[settled].err = call.stored(ctx)
			<-c.places
		}
		settled++
	}
	for i, m := range msgs {
		// Nobody waits for a place while holding one.
		for settled < i && !c.tryPlace() {
			settle()
		}
		if settled == i {
			if verdicts[i].err = c.place(ctx); verdicts[i].err != nil {
				continue
			}
		}
		if calls[i], verdicts[i].err = c.replies.send(m, 1); calls[i] == nil {
			<-c.places
		}
	}
	for settled < len(msgs) {
		settle()
	}
	return verdicts
}

func (c *committer) tryPlace() bool {
	select {
	case c.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (c *committer) place(ctx context.Context) error {
	select {
	case c.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: too many writers wait: %w", millrace.ErrUnavailable, context.Cause(ctx))
	}
}
