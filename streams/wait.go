package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// How often a wait looks without having been told that something changed, and
// how soon after it was: word of a write comes before the write is done, by the
// few milliseconds that its batch takes.
const (
	lookUntold = time.Second
	lookTold   = 2 * time.Millisecond
)

// Wait looks a task up and waits until its state is final or ctx ends; then it
// returns what it saw last, without an error. Other errors are those of
// [Store.Lookup], at the first look.
func (s *Store) Wait(ctx context.Context, id string) (Found, error) {
	changed := make(chan *nats.Msg, 16)
	f, err := s.Lookup(ctx, id)
	if err != nil || f.Record.State.Final() {
		return f, err
	}
	sub, err := s.nc.ChanSubscribe(recordSubject(id), changed)
	if err != nil {
		return f, fmt.Errorf("wait for task %s: %w", id, publishError(err))
	}
	defer func() { _ = sub.Unsubscribe() }()

	// The first look again is for what changed before we subscribed.
	pause := lookTold
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return f, nil
		case <-changed:
			pause = lookTold
		case <-timer.C:
			pause = min(2*pause, lookUntold)
		}
		timer.Reset(pause)
		g, err := s.Lookup(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				return f, nil
			}
			return g, err
		}
		if f = g; f.Record.State.Final() {
			return f, nil
		}
	}
}
