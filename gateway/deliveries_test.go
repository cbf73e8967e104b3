package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"millrace"
)

func newDeliveries(t *testing.T) *deliveries {
	return &deliveries{bucket: newStore(t).Claims(), log: slog.New(slog.DiscardHandler)}
}

func TestDeliveriesOfOneWebhook(t *testing.T) {
	d := newDeliveries(t)
	worked := 0
	for i, c := range []struct {
		id      string
		sent    int64
		outcome error // of the work
		works   bool
		want    error
	}{
		{"a", 100, millrace.ErrUnavailable, true, millrace.ErrUnavailable},
		{"a", 100, millrace.ErrNotFound, true, millrace.ErrNotFound}, // not done yet, so it is no replay
		{"a", 160, nil, true, nil},
		{"a", 160, nil, false, errReplayed},
		{"a", 100, nil, false, errReplayed},
		{"b", 160, nil, true, nil},
		{"a", 220, nil, false, nil}, // the sender delivers again what it did not hear of
		{"a", 220, nil, false, errReplayed},
		{"a", 219, nil, false, errReplayed},
	} {
		before := worked
		err := d.once(t.Context(), c.id, c.sent, func(context.Context) error {
			worked++
			return c.outcome
		})
		if !errors.Is(err, c.want) || (worked > before) != c.works {
			t.Errorf("%d: %v, worked %t", i, err, worked > before)
		}
	}
}

// Whoever dies between the work and its note leaves no note, and the next delivery
// does the work again.
func TestDeathBeforeTheNote(t *testing.T) {
	d := newDeliveries(t)
	died := errors.New("died")
	func() {
		defer func() { _ = recover() }()
		_ = d.once(t.Context(), "a", 100, func(context.Context) error { panic(died) })
	}()
	worked := false
	if err := d.once(t.Context(), "a", 100, func(context.Context) error { worked = true; return nil }); err != nil || !worked {
		t.Errorf("%v, worked %t", err, worked)
	}
}

// Of those who deliver the same at once, one is told that it is done. All may have
// done it: that is why the work must bear it.
func TestTwinDeliveries(t *testing.T) {
	d := newDeliveries(t)
	const twins = 8
	var atWork, racing sync.WaitGroup
	atWork.Add(twins)
	var done, refused atomic.Int32
	for range twins {
		racing.Go(func() {
			err := d.once(t.Context(), "a", 100, func(context.Context) error {
				atWork.Done()
				atWork.Wait() // so that none has written a note when the last one looks for it
				return nil
			})
			switch {
			case err == nil:
				done.Add(1)
			case errors.Is(err, errReplayed):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	racing.Wait()
	if done.Load() != 1 || refused.Load() != twins-1 {
		t.Errorf("%d were told that it is done, %d refused", done.Load(), refused.Load())
	}
}

// The sender gave the first delivery up and made a second one, and both are under way.
// Whichever note is first, the later one is answered, and the note that stays is its.
func TestDeliveryOvertakesAnother(t *testing.T) {
	for name, first := range map[string]int64{"the earlier is done first": 100, "the later is done first": 200} {
		t.Run(name, func(t *testing.T) {
			d := newDeliveries(t)
			second := 300 - first
			var nested error
			err := d.once(t.Context(), "a", second, func(ctx context.Context) error {
				nested = d.once(ctx, "a", first, func(context.Context) error { return nil })
				return nil
			})
			if nested != nil || second == 200 && err != nil || second == 100 && !errors.Is(err, errReplayed) {
				t.Errorf("first %v, second %v", nested, err)
			}
			if err := d.once(t.Context(), "a", 200, nil); !errors.Is(err, errReplayed) {
				t.Errorf("the later one again: %v", err)
			}
		})
	}
}

// The store goes away while the work is done: it is done, and no error can undo it.
func TestNoteThatCannotBeWritten(t *testing.T) {
	store := newStore(t)
	d := &deliveries{bucket: store.Claims(), log: slog.New(slog.DiscardHandler)}
	err := d.once(t.Context(), "a", 100, func(context.Context) error {
		store.Close()
		return nil
	})
	if err != nil {
		t.Errorf("done, and answered %v", err)
	}
	if err := d.once(t.Context(), "a", 160, nil); err == nil || errors.Is(err, errReplayed) {
		t.Errorf("without a store: %v", err)
	}
}

// A note that nobody of ours wrote is a fault of ours, not the sender's.
func TestUnreadableNote(t *testing.T) {
	d := newDeliveries(t)
	const key = "webhook.ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // SHA-256 of "a"
	if _, err := d.bucket.Put(t.Context(), key, []byte("soon"), 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.once(t.Context(), "a", 100, nil); err == nil || statusOf(problemOf(err)) != 500 {
		t.Error(err)
	}
}
