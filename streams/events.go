package streams

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace"
)

// FeedEvent is an event of an order as it lies in the feed.
type FeedEvent struct {
	// Sequence is its place: it grows from event to event, and skips some.
	Sequence uint64
	OrderID  string
	Number   int
	At       time.Time
	Data     []byte
}

// parseEvent is not ok for what somebody else put among the events.
func parseEvent(subject string, data []byte, seq uint64, at time.Time) (e FeedEvent, ok bool) {
	rest, ok := strings.CutPrefix(subject, feedPrefix)
	if !ok {
		return e, false
	}
	id, number, ok := strings.Cut(rest, ".")
	n, err := strconv.Atoi(number)
	return FeedEvent{seq, id, n, at, data}, ok && err == nil && id != ""
}

// EventsOf returns the events of one order behind that sequence, oldest first. The
// order's id must be valid: it is part of a filter. With replicas, what was written a
// moment ago can be missing at the end.
func (l Ledger) EventsOf(ctx context.Context, orderID string, after uint64) ([]FeedEvent, error) {
	// Each event is the last of its subject. To look for them so is 0.1 ms however
	// many others there are; to read forward from the first walks past all the others.
	found, err := l.store.lastOf(ctx, bucketStream(ordersBucket), maxListed-1, []string{feedPrefix + orderID + ".*"})
	if err != nil {
		return nil, err
	}
	var events []FeedEvent
	for _, st := range found {
		if e, ok := parseEvent(st.subject, st.data, st.seq, st.time); ok && e.Sequence > after {
			events = append(events, e)
		}
	}
	return events, nil
}

// LastEvent is the sequence of the feed's last event, zero if there is none. To ask is
// not cheap among millions of events.
func (l Ledger) LastEvent(ctx context.Context) (uint64, error) {
	last, _, err := l.store.getOne(ctx, bucketStream(ordersBucket), directGet{LastBy: feedPrefix + ">"})
	return last.seq, err
}

// LastSequence is what no event's sequence is beyond: that of the last write, of an
// event or anything else in the same stream.
func (l Ledger) LastSequence(ctx context.Context) (uint64, error) {
	_, last, err := l.store.bounds(ctx, bucketStream(ordersBucket))
	return last, err
}

// getOne gets one message, if there is one.
func (s *Store) getOne(ctx context.Context, stream string, ask directGet) (st stored, found bool, err error) {
	c, err := s.sendDirect(stream, 1, ask)
	if err != nil {
		return stored{}, false, err
	}
	defer c.close()
	m, err := c.answer(ctx)
	if err != nil {
		return stored{}, false, err
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		st, err = parseStored(m)
		return st, err == nil, err
	case "404":
		return stored{}, false, nil
	default:
		return stored{}, false, fmt.Errorf("%w: %s %s", millrace.ErrUnavailable, status, m.Header.Get("Description"))
	}
}
