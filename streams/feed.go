package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// Feed reads what happened to all orders, in the order in which it was written, each
// event once, and goes on when the connection, the server or the consumer was gone
// meanwhile. It is not for several goroutines at once. Close it when done.
//
// It reads with a consumer of its own that nothing depends on: it numbers what it
// delivers, so whatever was lost on the way shows as a gap, and then the next consumer
// begins behind the last event that was read. (Plain reads by filter count for each
// page what is left, which is 30 ms at 600,000 events; and who subscribes to the
// subjects hears of events before they are stored, also of those that never are.)
type Feed struct {
	store     *Store
	after     uint64 // the sequence of the last event that was read
	pull      *pull  // nil while there is no consumer
	consumer  string
	delivered uint64 // how many messages of this consumer came
	silent    int    // how many requests in a row nobody answered
}

const (
	// feedRoom bounds the events that are on their way to one feed.
	feedRoom = 512
	// maxSilent is how many requests are lost before the consumer counts as lost.
	maxSilent = 3
	// feedForgets is when the server drops the consumer of a feed that is gone.
	feedForgets = 30 * time.Second
)

// Follow reads the events behind that sequence; zero is the beginning.
func (l Ledger) Follow(after uint64) *Feed { return &Feed{store: l.store, after: after} }

// Next waits a second or so for events and returns what came, at most a few hundred.
// None and no error means that there are none yet. After an error, which wraps
// [millrace.ErrUnavailable], call it again in a moment: nothing is lost by it.
func (f *Feed) Next(ctx context.Context) ([]FeedEvent, error) {
	if f.pull == nil {
		if err := f.begin(ctx); err != nil {
			return nil, err
		}
	}
	msgs, err := f.pull.next(ctx, feedRoom)
	if err == nil {
		err = f.mustAnswer(len(msgs))
	}
	events, gap := f.accept(msgs)
	if err = errors.Join(err, gap); err != nil {
		f.Close()
		if len(events) > 0 {
			return events, nil // what is wrong will show again, if it is
		}
	}
	return events, err
}

// begin makes a consumer that begins where this feed is.
func (f *Feed) begin(ctx context.Context) error {
	ctx, cancel := f.store.replies.link.bind(ctx)
	defer cancel()
	if !f.store.nc.IsConnected() {
		return errLinkDown
	}
	stream := bucketStream(ordersBucket)
	c, err := f.store.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Description:       "reads the feed for " + f.store.cfg.Name,
		FilterSubject:     feedPrefix + ">",
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       f.after + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: feedForgets,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return fmt.Errorf("%w: read the feed: %w", millrace.ErrUnavailable, err)
	}
	f.consumer, f.delivered, f.silent = c.CachedInfo().Name, 0, 0
	f.pull, err = f.store.pullFrom(stream, f.consumer, "the feed")
	return err
}

// accept takes what follows without a gap.
func (f *Feed) accept(msgs []*nats.Msg) ([]FeedEvent, error) {
	events := make([]FeedEvent, 0, len(msgs))
	for _, m := range msgs {
		at, err := m.Metadata()
		if err != nil {
			return events, fmt.Errorf("%w: read the feed: %w", millrace.ErrUnavailable, err)
		}
		if at.Sequence.Consumer != f.delivered+1 {
			return events, fmt.Errorf("%w: a part of the feed was lost on the way", millrace.ErrUnavailable)
		}
		f.delivered++
		e, ok := parseEvent(m.Subject, m.Data, at.Sequence.Stream, at.Timestamp)
		if ok && e.Sequence > f.after {
			events = append(events, e)
		}
		f.after = max(f.after, at.Sequence.Stream)
	}
	return events, nil
}

// mustAnswer finds the consumer that is gone without a word: a request to it is not
// even told that nothing came.
func (f *Feed) mustAnswer(came int) error {
	if came > 0 || f.pull.Asked() == 0 {
		f.silent = 0
		return nil
	}
	if f.silent++; f.silent < maxSilent {
		return nil
	}
	return fmt.Errorf("%w: the consumer of the feed is silent", millrace.ErrUnavailable)
}

// Close ends the consumer. The feed could still go on, with another one.
func (f *Feed) Close() {
	if f.pull == nil {
		return
	}
	_ = f.pull.sub.Unsubscribe()
	// Nobody waits for the answer: if this is lost, the server drops it in a while.
	_ = f.store.nc.Publish("$JS.API.CONSUMER.DELETE."+bucketStream(ordersBucket)+"."+f.consumer, nil)
	f.pull = nil
}
