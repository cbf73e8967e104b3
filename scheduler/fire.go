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
// time, the entry says which due time is the next and what became of those before, in
// one write, and arming replaces. Now is what the broker's clock shows.
func (b *Book) fire(ctx context.Context, f streams.Fired, now time.Time) (err error) {
	for range fireTries { // somebody may pause it, or change it
		if err = b.tryFire(ctx, f, now); !errors.Is(err, millrace.ErrConflict) {
			return err
		}
	}
	return err
}

const fireTries = 3

func (b *Book) tryFire(ctx context.Context, f streams.Fired, now time.Time) error {
	e, err := b.Get(ctx, f.Name)
	switch {
	case errors.Is(err, millrace.ErrNotFound):
		return nil // it was cancelled
	case err != nil:
		return err
	case e.Generation != f.Generation, e.idle(), e.NextAt.After(f.Due):
		// It was replaced or paused, or this due time was dealt with already, by somebody
		// who may not have come to arm the next.
		return b.arm(ctx, e)
	}
	recurrence, err := Parse(e.Schedule)
	if err != nil {
		return fmt.Errorf("schedule %s: %w", e.Name, err)
	}
	why := ""
	if overlaps, err := b.overlaps(ctx, e); err != nil {
		return err
	} else if overlaps {
		why = SkippedOverlap
	}
	if e.CatchUp == millrace.CatchUpSkip && now.Sub(recurrence.Moment(f.Due)) > MissedAfter {
		why = SkippedMissed
	}
	if err := b.settle(ctx, &e, f.Due, now, why); err != nil {
		return err
	}
	// What was missed meanwhile is not made up for: this was the one catch-up.
	if !e.goOn(recurrence, f.Due, now) && !e.At.IsZero() && !e.Declared {
		return b.store.Schedules().Delete(ctx, e.Name, e.revision)
	}
	if err := b.write(ctx, &e); err != nil {
		return err
	}
	return b.arm(ctx, e)
}

// goOn goes on to the next due time, if there is one: else the schedule is finished.
func (e *Entry) goOn(r Recurrence, dealt, now time.Time) bool {
	next, ok := r.Upcoming(dealt, now)
	if !ok || r.Moment(next).After(streams.LastDue()) {
		next, ok = time.Time{}, false
	}
	e.LastAt, e.NextAt = dealt, next
	return ok
}

// settle submits the task of a due time, or leaves it out for a reason, and notes in e
// which it was. A task that somebody has submitted who died then is not left out any
// more.
func (b *Book) settle(ctx context.Context, e *Entry, due, now time.Time, why string) error {
	id := e.TaskID(due)
	run := Run{Due: due, At: now.UTC().Truncate(time.Millisecond), Skipped: why}
	found := millrace.ErrConflict
	if why == "" {
		found = b.submit(ctx, e, id, due)
	}
	if errors.Is(found, millrace.ErrConflict) { // it is there, or may be
		f, err := b.store.Lookup(ctx, id)
		switch {
		case err == nil && !f.Record.SubmittedAt.IsZero():
			run.At, run.Skipped, found = f.Record.SubmittedAt, "", nil
		case err == nil, errors.Is(err, millrace.ErrGone):
			run.Skipped, found = "", nil
		case why != "" && errors.Is(err, millrace.ErrNotFound):
			found = nil
		case why == "":
			found = nil // the log has its id, whatever else can be found out
		default:
			found = err
		}
	}
	if found != nil {
		return found
	}
	if run.Skipped == "" {
		e.LastTask = id
	} else if run.Skipped == SkippedOverlap {
		e.Skipped++
	}
	e.note(run)
	return nil
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
// since a process died before it came to that. It looks at those that are due before a
// time: to ask for each takes long where there are many, and the others have a while.
func (b *Book) mend(ctx context.Context, before time.Time) (mended int, err error) {
	all, unreadable, err := b.list(ctx)
	if err != nil {
		return 0, err
	}
	errs := []error{unreadable}
	for _, e := range all {
		if e.idle() || e.NextAt.After(before) {
			continue
		}
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
