package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
)

// To replace a task is to put another message in its place, which keeps its id.
//
// A task that waits for its time has a timer, and there the new one takes the place of
// the old by compare-and-set: the server fires one of them.
//
// Past that it is in a queue's log, or on its way there, and a worker may have it.
var (
	// errMoved: the task is somewhere else by now; look again.
	errMoved = errors.New("the task has moved")
	// errBegun: it does not wait for its time, and a worker may have it.
	errBegun = errors.New("it does not wait for its time any more")
)

// replace gives a scheduled task new args, options and a time. The task is where id says,
// and of the kind and queue of the new one.
func (s *Store) replace(ctx context.Context, id string, task millrace.RawTask, at time.Time) (Holding, error) {
	found, err := s.lastBy(ctx, scheduleStream(shardOf(id)), timerSubject(id))
	if err != nil {
		return Holding{}, err
	}
	if len(found) == 0 || len(found[0].data) == 0 {
		return Holding{}, errBegun
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
