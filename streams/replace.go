package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace"
)

// To replace a task that has not begun is to write into its record what is to run
// instead, by compare-and-set. That write decides, wherever the task is by then: what
// waits, is due, stands in a line or lies in its queue's log stays as it was submitted,
// and whoever is given it reads the record with it, as of every delivery.
//
// The worker of a unique task claims it: before it calls the handler it writes, by
// compare-and-set on the record that it has read, that the task has begun. So of the
// two one loses. If it is the worker, the task comes again at once, and then with what
// is to run instead; if it is who wanted to replace it, that is a conflict. Tasks
// without a unique key are not claimed, and cost nothing.
//
// The record says when the task may run as well. What comes earlier, since it waited for
// another time, is put off. That it does not come later is what is seen to after
// that write; who dies in between has not answered.

// errMoved: somebody has written about the task; look again.
var errMoved = errors.New("the task has changed")

// replace gives a task that has not begun, as it was found, new args, options and a
// time. The task is of the kind and queue of the new one.
func (s *Store) replace(ctx context.Context, f Found, task millrace.RawTask, at time.Time) (Holding, error) {
	r, now := f.Record, time.Now().UTC()
	r.Replacement = &millrace.Replacement{Args: task.Args, Options: task.Options}
	r.Tags = task.Tags
	r.NextAt = at.UTC()
	switch {
	case at.After(now):
		r.State = millrace.Scheduled
	case r.State == millrace.Scheduled:
		r.NextAt = now
	default:
		r.State, r.NextAt = millrace.Pending, time.Time{}
	}
	if r.NextAt.After(LastDue()) {
		return Holding{}, fmt.Errorf("%w: it is due after %s, which is as far as the broker counts", millrace.ErrInvalid, LastDue().Format(time.DateOnly))
	}
	data, err := encode(r)
	if err != nil {
		return Holding{}, fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
	}
	// The other half is for what is to be written about it.
	if int64(len(data)) > s.nc.MaxPayload()/2 {
		return Holding{}, errTooLarge
	}
	msg := newMessage(recordSubject(r.ID), data, f.Revision)
	expireNever(msg) // else what was submitted would run once it is gone
	switch _, err := s.results.store(ctx, msg); {
	case errors.Is(err, millrace.ErrConflict):
		return Holding{}, errMoved
	case err != nil:
		return Holding{}, fmt.Errorf("replace task %s: %w", r.ID, err)
	}
	if err := s.retime(context.WithoutCancel(ctx), r.ID); err != nil {
		return Holding{}, fmt.Errorf("replace task %s, which is done but for its time: %w", r.ID, err)
	}
	return Holding{ID: r.ID, Kind: r.Kind, Queue: r.Queue, State: r.State, Due: r.NextAt, Existing: true, Replaced: true}, nil
}

// retime sees to it that a task which waits comes by the time that its record says. It
// reads what waits before the record: so who is last to write it knows the last record.
func (s *Store) retime(ctx context.Context, id string) error {
	for {
		found, err := s.lastBy(ctx, scheduleStream(shardOf(id)), waitingFilter(id), timerSubject(id))
		if err != nil || len(found) == 0 {
			return err // who puts it off looks at the record then, too
		}
		kept, err := s.lastOnLeader(ctx, bucketStream(resultsBucket), recordSubject(id))
		if err != nil || len(kept) == 0 {
			return err
		}
		r, err := parseRecord(kept[0])
		if err != nil {
			return err
		}
		if r.Replacement == nil || r.Begun() || r.NextAt.IsZero() || r.HeldBy != "" {
			return nil
		}
		latest := found[len(found)-1]
		if len(latest.data) == 0 {
			return nil
		}
		var w waiting
		if err := decode(latest.data, &w); err != nil {
			return fmt.Errorf("waiting task %s: %w", id, err)
		}
		w.Task.ID = id
		timer := latest.subject == timerSubject(id)
		if due := ceilSecond(r.NextAt); due.Equal(ceilSecond(w.Due)) || !timer && due.After(w.Due) {
			return nil
		}
		w.Due = r.NextAt
		revision := uint64(0)
		if timer {
			revision = latest.seq
		}
		if _, err = s.setTimer(ctx, w, revision); !errors.Is(err, millrace.ErrConflict) {
			return err
		}
		if err := pauseFor(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// waitReplaced lets a task wait that was in its queue's log. Who replaces it in this
// moment may not have seen yet that it waits.
func (s *Store) waitReplaced(ctx context.Context, w waiting) error {
	err := s.wait(ctx, w, anyRevision)
	if err == nil && w.Task.Unique {
		err = s.retime(ctx, w.Task.ID)
	}
	return err
}

// substitute lets the delivery be of what has replaced its task.
func (d *Delivery) substitute() {
	if with := d.Record.Replacement; with != nil {
		d.Task.Args, d.Task.Options = with.Args, with.Options
	}
}

// withoutReplaced takes out the deliveries of tasks that were replaced by what is to run
// later, and puts them off.
func (s *Store) withoutReplaced(ctx context.Context, deliveries []*Delivery) []*Delivery {
	return slices.DeleteFunc(deliveries, func(d *Delivery) bool {
		if d.Malformed != nil || d.Record == nil || d.Record.Replacement == nil || d.Record.Begun() || time.Until(d.Record.NextAt) <= 0 {
			return false
		}
		r := *d.Record
		r.HeldBy = ""
		err := s.park(ctx, d, r, r.NextAt)
		if err != nil {
			err = errors.Join(err, d.Release(0))
		}
		if err != nil && !errors.Is(err, millrace.ErrConflict) { // it was replaced once more
			s.log.Warn("cannot put a task off yet", "task", d.Task.ID, "error", err)
		}
		return true
	})
}

// untouched reports whether a task in a line has a record only since it was replaced:
// whether it has gone on, the record does not say then.
func (p place) untouched(r *millrace.Record) bool {
	return p.Sequence == 0 && r.Replacement != nil && !r.Begun() && r.Parked == 0 && r.Deliveries == 0
}
