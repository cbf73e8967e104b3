package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
)

// To replace a pending task is to put another message in its place, which keeps its id.
//
// A task that waits for its time has a timer, and there the new one takes the place of
// the old by compare-and-set: the server fires one of them.
//
// In its queue's log the new message takes the place of the old, if that is still there:
// the server keeps one of a subject. The consumer passes over what is gone. But it may
// have handed out the old one just before. So its position is read again: if that is
// still before the old place, nobody got it, nor will anybody. If it is not, nobody can
// tell, and a record says that a delivery from the old place is out of date
// ([millrace.Record.Parked]): a worker that has it cannot write what came of it. If there
// is a record already, the old task has gone on, and what counts is what that says.
//
// Whoever dies in between leaves one task or the other under the id, and perhaps a run of
// the old one whose outcome counts, after which the new one is only acknowledged: as
// whoever asked has got no answer, either is right.
var (
	// errMoved: the task is somewhere else by now; look again.
	errMoved = errors.New("the task has moved")
	// errNotReplaceable: it is not where it could be replaced.
	errNotReplaceable = errors.New("it waits for a limit, where it cannot be replaced")
)

// replace gives a pending task new args, options and a time. The task is where id says,
// and of the kind and queue of the new one.
func (s *Store) replace(ctx context.Context, id string, task millrace.RawTask, at time.Time) (Holding, error) {
	found, err := s.lastBy(ctx, scheduleStream(shardOf(id)), timerSubject(id))
	if err != nil {
		return Holding{}, err
	}
	if len(found) == 0 || len(found[0].data) == 0 {
		return s.replaceLogged(ctx, id, task)
	}
	var w waiting
	if err := decode(found[0].data, &w); err != nil {
		return Holding{}, fmt.Errorf("waiting task %s: %w", id, err)
	}
	w.Task.ID = id
	if w.Sequence != 0 || w.Task.Tried > 0 {
		return Holding{}, errMoved // it has run, or runs
	}
	if at.Before(time.Now()) {
		at = time.Now() // the timer of what is past rings at once
	}
	w.Task, w.Due = replaced(w.Task, task), ceilSecond(at).UTC()
	switch _, err := s.setTimer(ctx, w, found[0].seq); {
	case errors.Is(err, millrace.ErrConflict):
		return Holding{}, errMoved
	case err != nil:
		return Holding{}, fmt.Errorf("replace task %s: %w", id, err)
	}
	return Holding{ID: id, Kind: task.Kind, Queue: task.Queue, State: millrace.Scheduled, Due: w.Due, Existing: true, Replaced: true}, nil
}

// replaced is old with what a submission says of the new one.
func replaced(old, task millrace.RawTask) millrace.RawTask {
	old.Args, old.Options = task.Args, task.Options
	return old
}

// replaceLogged replaces a task in its queue's log. It stays where its turn is next to
// last: at the end.
func (s *Store) replaceLogged(ctx context.Context, id string, task millrace.RawTask) (Holding, error) {
	found, err := s.lastBy(ctx, taskStream(task.Queue), taskSubject(task.Queue, task.Kind, id))
	if err != nil {
		return Holding{}, err
	}
	if len(found) == 0 {
		held, err := s.inLine(ctx, id)
		if err == nil && len(held) > 0 {
			err = errNotReplaceable
		}
		if err == nil {
			err = errMoved // it is due, and on its way
		}
		return Holding{}, err
	}
	place := found[0].seq
	old, err := parseTask(found[0].subject, found[0].data)
	if err != nil {
		return Holding{}, fmt.Errorf("task %s: %w", id, err)
	}
	f, known, err := s.lookupRecord(ctx, id)
	if err != nil {
		return Holding{}, err
	}
	if known && !waitsForFirst(f.Record) {
		return Holding{}, errMoved
	}
	if known && f.Record.HeldBy != "" {
		return Holding{}, errNotReplaceable
	}
	before, err := s.handedOut(ctx, task.Queue, place)
	if err != nil {
		return Holding{}, err
	}
	if before {
		return Holding{}, errMoved // it runs, or is about to
	}
	data, err := encode(replaced(old, task))
	if err != nil {
		return Holding{}, fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
	}
	_, err = s.tasks[task.Queue].store(ctx, newMessage(found[0].subject, data, place))
	if errors.Is(err, millrace.ErrConflict) {
		return Holding{}, errMoved
	}
	if err != nil {
		return Holding{}, fmt.Errorf("replace task %s: %w", id, err)
	}
	done := Holding{ID: id, Kind: task.Kind, Queue: task.Queue, State: millrace.Pending, Existing: true, Replaced: true}
	// It is replaced. From here on it must come to an end.
	ctx = context.WithoutCancel(ctx)
	if s.cfg.Replicas <= 1 { // else who hands them out may still have the old one
		if after, err := s.handedOut(ctx, task.Queue, place); err == nil && !after {
			return done, nil
		}
	}
	return done, s.outdate(ctx, f, old, place)
}

// handedOut is whether the consumer has come to that place in a log.
func (s *Store) handedOut(ctx context.Context, queue string, place uint64) (bool, error) {
	info, err := s.workersOf(ctx, queue)
	if err != nil {
		return false, err
	}
	return place <= info.Delivered.Stream, nil
}

// outdate says that what is delivered from that place of the task is out of date. It is
// errMoved if the task has finished from there.
func (s *Store) outdate(ctx context.Context, f Found, old millrace.RawTask, place uint64) error {
	r := f.Record
	if f.Revision == 0 {
		r = millrace.Record{ID: old.ID, Kind: old.Kind, Queue: old.Queue, State: millrace.Pending, Tags: old.Tags, SubmittedAt: old.SubmittedAt}
	}
	// It counts as a delivery, so that the next is not taken for the first, of which
	// nobody writes that it has begun.
	r.Parked, r.Deliveries = place, r.Deliveries+1
	data, err := encode(r)
	if err != nil {
		return err
	}
	_, err = s.results.store(ctx, newMessage(recordSubject(old.ID), data, f.Revision))
	if !errors.Is(err, millrace.ErrConflict) {
		return err
	}
	f, err = s.Lookup(ctx, old.ID)
	if errors.Is(err, millrace.ErrGone) || err == nil && f.Record.State.Final() {
		return errMoved
	}
	// It has gone on, and is not finished: what runs next has the new args.
	return err
}
