package streams

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// Ledger is the bucket of the orders, of which several entries change at once or not
// at all, and with them the feed of what happened: both are one stream.
type Ledger struct{ *Bucket }

// Ledger holds the orders and their stock.
func (s *Store) Ledger() Ledger { return Ledger{s.buckets[ordersBucket]} }

// MaxWrites is how many entries and events one commit takes (ADR-50 of the NATS
// architecture records), and MaxCommit how many bytes, about.
const (
	MaxWrites = 1000
	MaxCommit = maxBatchBytes
)

// Write is an entry that is to change.
type Write struct {
	Key   string
	Value []byte
	// Revision is what it must still have, zero if it must not be there.
	Revision uint64
	// TTL is for how long it is kept. Zero means for good.
	TTL time.Duration
}

// Event is something that happened to an order, the Number-th thing. Who writes it
// also writes the order, whose revision says that nobody else has that number.
type Event struct {
	OrderID string
	Number  int
	Data    []byte
	// TTL is for how long it is kept. Zero means for good.
	TTL time.Duration
}

// Read returns the entries of those keys that are there.
func (l Ledger) Read(ctx context.Context, keys []string) (map[string]Entry, error) {
	all := make(map[string]Entry, len(keys))
	for some := range slices.Chunk(keys, maxListed-fewMore) {
		subjects := make([]string, len(some))
		for i, key := range some {
			subjects[i] = bucketSubject(l.name, key)
		}
		found, err := l.store.lastBy(ctx, bucketStream(l.name), subjects...)
		if err != nil {
			return nil, err
		}
		for _, st := range found {
			key := strings.TrimPrefix(st.subject, bucketSubject(l.name, ""))
			all[key] = Entry{key, st.data, st.seq}
		}
	}
	return all, nil
}

// Keys returns the keys that match a filter, in no order. Some may be all that is left
// of an entry that was removed.
func (l Ledger) Keys(ctx context.Context, filter string) ([]string, error) {
	ctx, cancel := l.store.replies.link.bind(ctx)
	defer cancel()
	stream, err := l.store.js.Stream(ctx, bucketStream(l.name))
	if err != nil {
		return nil, fmt.Errorf("%w: keys of %s: %w", millrace.ErrUnavailable, l.name, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(bucketSubject(l.name, filter)))
	if err != nil {
		return nil, fmt.Errorf("%w: keys of %s: %w", millrace.ErrUnavailable, l.name, err)
	}
	keys := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		keys = append(keys, strings.TrimPrefix(subject, bucketSubject(l.name, "")))
	}
	return keys, nil
}

// Each calls visit with every entry whose key matches a filter, in the order in which
// they were written, until that fails. What is written meanwhile may be seen, also
// twice.
func (l Ledger) Each(ctx context.Context, filter string, visit func(Entry) error) error {
	var failed error
	err := l.store.scan(ctx, bucketStream(l.name), bucketSubject(l.name, filter), func(st stored) bool {
		failed = visit(Entry{strings.TrimPrefix(st.subject, bucketSubject(l.name, "")), st.data, st.seq})
		return failed == nil
	})
	return cmp.Or(failed, err)
}

// Commit writes all of it or nothing, and returns the new revisions of writes, in
// their order. A [millrace.ErrConflict] means that an entry has another revision, and
// nothing was written; with
// [millrace.ErrUnavailable] all of it may have been.
func (l Ledger) Commit(ctx context.Context, writes []Write, events []Event) ([]uint64, error) {
	msgs := make([]*nats.Msg, 0, len(writes)+len(events))
	for _, w := range writes {
		msgs = append(msgs, expiring(newMessage(bucketSubject(l.name, w.Key), w.Value, w.Revision), w.TTL))
	}
	for _, e := range events {
		msgs = append(msgs, expiring(newMessage(eventSubject(e.OrderID, e.Number), e.Data, anyRevision), e.TTL))
	}
	if len(msgs) > MaxWrites {
		return nil, fmt.Errorf("%w: %d entries and events are more than the %d that change at once", millrace.ErrInvalid, len(msgs), MaxWrites)
	}
	last, err := l.commit(ctx, msgs)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", l.name, err)
	}
	revisions := make([]uint64, len(writes))
	for i := range revisions {
		revisions[i] = last - uint64(len(msgs)-1-i)
	}
	return revisions, nil
}

func (l Ledger) commit(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	for _, m := range msgs {
		if int64(m.Size()) > l.store.nc.MaxPayload()-maxHeaders {
			return 0, errTooLarge
		}
	}
	if !l.store.nc.IsConnected() {
		return 0, errLinkDown
	}
	return l.store.replies.storeTogether(ctx, msgs)
}

func expiring(m *nats.Msg, ttl time.Duration) *nats.Msg {
	if ttl > 0 {
		expireAfter(m, ttl)
	}
	return m
}
