package scheduler

import (
	"context"
	"errors"
	"time"

	"millrace"
)

// Pause keeps a schedule from submitting anything until [Book.Resume]. One that is
// paused already stays so since then. It returns [millrace.ErrNotFound] if there is none
// of that name.
func (b *Book) Pause(ctx context.Context, name string) (Entry, error) {
	return b.turn(ctx, name, func(e *Entry, now time.Time) error {
		e.PausedAt = now.UTC().Truncate(time.Millisecond)
		return nil
	}, false)
}

// Resume lets a schedule that is paused go on. What it has missed is dealt with as its
// CatchUp says: one task is submitted for all of that, or none. It returns
// [millrace.ErrNotFound] if there is none of that name.
func (b *Book) Resume(ctx context.Context, name string) (Entry, error) {
	return b.turn(ctx, name, func(e *Entry, now time.Time) error {
		e.PausedAt = time.Time{}
		if e.CatchUp != millrace.CatchUpSkip || e.Finished() {
			return nil // what was missed fires as soon as it is armed
		}
		recurrence, err := Parse(e.Schedule)
		if err != nil {
			return err
		}
		missed := e.NextAt
		if recurrence.Moment(missed).After(now) {
			return nil
		}
		if err := b.settle(ctx, e, missed, now, SkippedPaused); err != nil {
			return err
		}
		e.goOn(recurrence, missed, now)
		return nil
	}, true)
}

// turn changes an entry, if it is paused or not as given.
func (b *Book) turn(ctx context.Context, name string, change func(e *Entry, now time.Time) error, paused bool) (Entry, error) {
	for {
		e, err := b.Get(ctx, name)
		if err != nil {
			return Entry{}, err
		}
		if e.PausedAt.IsZero() == paused {
			return e, b.arm(ctx, e) // who has done it may have died before that
		}
		now, err := b.store.Now(ctx)
		if err != nil {
			return Entry{}, err
		}
		if err := change(&e, now); err != nil {
			return Entry{}, err
		}
		err = b.write(ctx, &e)
		if err == nil {
			return e, b.arm(ctx, e)
		}
		if !errors.Is(err, millrace.ErrConflict) {
			return Entry{}, err
		}
	}
}
