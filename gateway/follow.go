package gateway

import (
	"time"
)

// follow writes all events behind that sequence to s, and never returns before the
// client has left or the gateway stops.
func (h *hub) follow(s *sseStream, after uint64) error {
	if err := s.open(after); err != nil {
		return err
	}
	for {
		some, last, news, ok := h.next(after)
		var err error
		switch {
		case !ok:
			after, err = h.replay(s, after)
		case len(some) > 0:
			after, err = last, s.write(some)
		default:
			err = s.wait(news, heartbeat)
		}
		if err != nil {
			return err
		}
	}
}

// turn is how long a client may read from the broker before others get their turn.
const turn = 10 * time.Second

// replay writes what is not in the window any more, until that is reached or its turn
// is over.
func (h *hub) replay(s *sseStream, after uint64) (uint64, error) {
	select {
	case h.replays <- struct{}{}:
		defer func() { <-h.replays }()
	default:
		return after, s.wait(nil, tick)
	}
	feed := h.ledger.Follow(after)
	defer feed.Close()
	for until := time.Now().Add(turn); time.Now().Before(until) && h.ctx.Err() == nil; {
		if _, _, _, ok := h.next(after); ok {
			break
		}
		events, err := feed.Next(h.ctx)
		if err == nil && len(events) > 0 {
			c := newChunk(events)
			after, err = c.last(), s.write(c.bytes)
		} else if err == nil {
			err = s.beat()
		} else {
			err = s.wait(nil, pause) // the broker is away
		}
		if err != nil {
			return after, err
		}
	}
	return after, nil
}

// followOne is follow for one order. The hub says when there is something new, and
// what it is is read from the broker: it is little, and it is never too late for it.
func (h *hub) followOne(s *sseStream, orderID string, after uint64) error {
	b := h.watch(orderID)
	defer h.unwatch(orderID, b)
	if err := s.open(after); err != nil {
		return err
	}
	for h.ctx.Err() == nil {
		expected, rung := h.heard(b)
		events, err := h.ledger.EventsOf(h.ctx, orderID, after)
		if err == nil && len(events) > 0 {
			c := newChunk(events)
			if err := s.write(c.bytes); err != nil {
				return err
			}
			after = c.last()
		}
		// To look again now and then is for news that came between the hub's start and
		// a replica's answer that was a little late.
		patience := heartbeat
		switch {
		case err != nil:
			rung, patience = nil, pause
		case after < expected:
			rung, patience = nil, tick // it was a late one
		}
		if err := s.wait(rung, patience); err != nil {
			return err
		}
	}
	return h.ctx.Err()
}
