package streams

import (
	"context"
	"strings"
	"time"
)

// First is the first event of an order. It stays where it is for as long as the order
// does, so these are the index of the orders: in the order in which workers came to
// them, which nothing changes that happens later.
type First struct {
	OrderID string
	// Sequence is its place.
	Sequence uint64
	At       time.Time
	Data     []byte
}

// FirstEvents returns up to limit first events that accept takes, the newest first, of
// those that lie before a sequence; zero means from the end. next is the sequence
// before which to go on, zero behind the last one. There may be fewer than limit, and
// more to come: only so much is looked at.
func (l Ledger) FirstEvents(ctx context.Context, before uint64, limit int, accept func(First) bool) (events []First, next uint64, err error) {
	index := backwards[First]{
		stream: bucketStream(l.name), before: before,
		accept: func(st stored) (f First, ok bool) {
			rest, ok := strings.CutPrefix(st.subject, feedPrefix)
			if !ok {
				return f, false
			}
			id, number, _ := strings.Cut(rest, ".")
			f = First{id, st.seq, st.time, st.data}
			return f, number == "1" && accept(f)
		},
	}
	if err := index.open(ctx, l.store, time.Time{}, time.Time{}); err != nil {
		return nil, 0, err
	}
	if err := index.fill(ctx, l.store, limit); err != nil {
		return nil, 0, err
	}
	for _, p := range index.found {
		events = append(events, p.value)
	}
	if !index.done() {
		next = index.before
	}
	return events, next, nil
}

// RemoveFirst takes an order out of the index, unless it was placed anew.
func (l Ledger) RemoveFirst(ctx context.Context, f First) error {
	return l.store.removeBefore(ctx, bucketStream(l.name), eventSubject(f.OrderID, 1), f.Sequence+1)
}
