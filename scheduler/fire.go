package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace"
	"millrace/streams"
)

// fire deals with a due time of a schedule: its task is submitted, that is written
// down, the next due time is armed, and only then is this one let go. Every step may
// be done again by whoever comes after a crash: the task's id is made from the due
// time, the entry says which due time is the next, and arming replaces.
func (b *Book) fire(ctx context.Context, f streams.Fired) error {
	e, err := b.Get(ctx, f.Name)
	switch {
	case errors.Is(err, millrace.ErrNotFound):
		return nil // it was cancelled
	case err != nil:
		return err
	case e.Generation != f.Generation, e.NextAt.After(f.Due):
		// It was replaced, or this due time was dealt with already, by somebody who may
		// not have come to arm the next.
		return b.arm(ctx, e)
	}
	recurrence, err := Parse(e.Schedule)
	if err != nil {
		return fmt.Errorf("schedule %s: %w", e.Name, err)
	}
	now, err := b.store.Now(ctx)
	if err != nil {
		return err
	}
	overlaps, err := b.overlaps(ctx, e)
	if err != nil {
		return err
	}
	if overlaps {
		e.Skipped++
	} else {
		id := e.TaskID(f.Due)
		if err := b.store.Submit(ctx, e.task(id)); err != nil && !errors.Is(err, millrace.ErrConflict) {
			return err
		}
		e.LastTask = id
	}
	// What was missed meanwhile is not made up for: this was the one catch-up.
	next, ok := recurrence.Next(later(f.Due, now))
	if !ok || next.After(streams.LastDue()) {
		return b.store.Schedules().Delete(ctx, e.Name, e.revision)
	}
	e.LastAt, e.NextAt = f.Due, next
	if err := b.write(ctx, &e); err != nil {
		return err
	}
	return b.arm(ctx, e)
}

// overlaps reports whether this due time is to be left out.
func (b *Book) overlaps(ctx context.Context, e Entry) (bool, error) {
	if e.Overlap != millrace.OverlapSkip || e.LastTask == "" {
		return false, nil
	}
	f, err := b.store.Lookup(ctx, e.LastTask)
	if errors.Is(err, millrace.ErrNotFound) || errors.Is(err, millrace.ErrGone) {
		return false, nil
	}
	return err == nil && !f.Record.State.Final(), err
}

// mend arms the schedules of which something else is armed than they say, or nothing,
// since a process died before it came to that.
func (b *Book) mend(ctx context.Context) (mended int, err error) {
	all, unreadable, err := b.list(ctx)
	if err != nil {
		return 0, err
	}
	errs := []error{unreadable}
	for _, e := range all {
		armed, err := b.isArmed(ctx, e)
		if err == nil && !armed {
			// It may have fired and been armed again since it was listed.
			if e, err = b.Get(ctx, e.Name); err == nil {
				armed, err = b.isArmed(ctx, e)
			}
		}
		if errors.Is(err, millrace.ErrNotFound) {
			continue
		}
		if err == nil && !armed {
			if err = b.arm(ctx, e); err == nil {
				mended++
			}
		}
		if errs = append(errs, err); errors.Is(err, millrace.ErrUnavailable) {
			break
		}
	}
	return mended, errors.Join(errs...)
}

func (b *Book) isArmed(ctx context.Context, e Entry) (bool, error) {
	armed, err := b.store.Armed(ctx, e.Name)
	return slices.ContainsFunc(armed, func(f streams.Fired) bool {
		return f.Generation == e.Generation && f.Due.Equal(e.NextAt)
	}), err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
