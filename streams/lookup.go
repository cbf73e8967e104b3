package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
)

// Found is what is known of a task.
type Found struct {
	Record millrace.Record
	// Version changes whenever the record does.
	Version string

	// Revision is that of the record, zero while there is none.
	Revision uint64
}

// Lookup finds a task by its id: in its record, else in a log, where a task that
// no worker has been given yet is pending, and one that is not finished running,
// else among those that wait for their time. It returns [millrace.ErrNotFound] for
// an id that was never accepted (or that even the log has forgotten) and
// [millrace.ErrGone] for one whose record has expired.
func (s *Store) Lookup(ctx context.Context, id string) (Found, error) {
	if err := millrace.ValidateID(id); err != nil {
		return Found{}, err
	}
	// What waits goes on to a log and to a record. So who has looked for it there
	// looks once more.
	last := millrace.ErrNotFound
	for _, look := range []func(context.Context, string) (Found, bool, error){s.lookupDone, s.lookupWaiting, s.lookupHeld, s.lookupDone} {
		f, ok, err := look(ctx, id)
		if errors.Is(err, errPassed) {
			last = err
			continue
		}
		if ok || err != nil {
			return f, err
		}
	}
	return Found{}, fmt.Errorf("task %s: %w", id, last)
}

// errPassed is for a task that its queue is done with, and of which there is no
// record: it is finished and that has expired, or it waits for longer than records
// are kept.
var errPassed = fmt.Errorf("%w", millrace.ErrGone)

// lookupDone finds a task that has a record, or a place in a log.
func (s *Store) lookupDone(ctx context.Context, id string) (Found, bool, error) {
	if f, ok, err := s.lookupRecord(ctx, id); ok || err != nil {
		return f, ok, err
	}
	for _, queue := range s.Queues() {
		f, acked, err := s.lookupLog(ctx, queue, id)
		if err != nil {
			return Found{}, false, err
		}
		if f == nil {
			continue
		}
		if !acked {
			return *f, true, nil
		}
		// Finished, so it has a record, unless that expired: it may have been
		// written since we looked.
		if f, ok, err := s.lookupRecord(ctx, id); ok || err != nil {
			return f, ok, err
		}
		return Found{}, false, errPassed
	}
	return Found{}, false, nil
}

// lookupWaiting finds a task that waits for its time.
func (s *Store) lookupWaiting(ctx context.Context, id string) (Found, bool, error) {
	found, err := s.lastBy(ctx, scheduleStream(shardOf(id)), waitingFilter(id), timerSubject(id), dueSubject(id))
	if err != nil || len(found) == 0 {
		return Found{}, false, err
	}
	latest := found[len(found)-1]
	if latest.subject == dueSubject(id) {
		// What was moved stays there until many are removed.
		floor, err := s.movedUpTo(ctx, shardOf(id))
		if err != nil || latest.seq <= floor {
			return Found{}, false, err
		}
	}
	var w waiting
	if err := decode(latest.data, &w); err != nil {
		return Found{}, false, fmt.Errorf("waiting task %s: %w", id, err)
	}
	w.Task.ID = id
	return Found{Record: w.record(), Version: fmt.Sprintf("waiting%d", latest.seq)}, true, nil
}

// record is what there is to say of a task that waits and has none.
func (w waiting) record() millrace.Record {
	r := millrace.Record{
		ID: w.Task.ID, Kind: w.Task.Kind, Queue: w.Task.Queue, State: millrace.Scheduled, Tags: w.Task.Tags,
		SubmittedAt: w.Task.SubmittedAt, NextAt: w.Due, Redrives: w.Task.Redrives,
	}
	if w.Task.Tried > 0 {
		r.State = millrace.Retrying
	}
	return r
}

func (s *Store) lookupRecord(ctx context.Context, id string) (Found, bool, error) {
	found, err := s.lastBy(ctx, bucketStream(resultsBucket), recordSubject(id))
	if err != nil || len(found) == 0 {
		return Found{}, false, err
	}
	r, err := parseRecord(found[0])
	if err != nil {
		return Found{}, false, err
	}
	if r.State.Final() && !r.ExpiresAt.IsZero() && !time.Now().Before(r.ExpiresAt) {
		return Found{}, false, fmt.Errorf("task %s: %w", id, millrace.ErrGone)
	}
	return Found{Record: *r, Version: fmt.Sprintf("record%d", found[0].seq), Revision: found[0].seq}, true, nil
}

// lookupLog finds the task in one queue's log. acked means that its consumer is
// done with it.
func (s *Store) lookupLog(ctx context.Context, queue, id string) (f *Found, acked bool, err error) {
	found, err := s.lastBy(ctx, taskStream(queue), taskFilter(queue, id))
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	task, malformed := parseTask(found[0].subject, found[0].data)
	info, err := s.workersOf(ctx, queue)
	if err != nil {
		return nil, false, err
	}
	state := millrace.Running
	switch seq := found[0].seq; {
	case seq <= info.AckFloor.Stream:
		return &Found{}, true, nil
	case seq > info.Delivered.Stream:
		state = millrace.Pending
	}
	submitted := task.SubmittedAt
	if malformed != nil || submitted.IsZero() {
		submitted = found[0].time
	}
	return &Found{
		Record: millrace.Record{
			ID: id, Kind: task.Kind, Queue: queue, State: state, Tags: task.Tags,
			SubmittedAt: submitted, Redrives: task.Redrives,
		},
		Version: fmt.Sprintf("%s%d", state, found[0].seq),
	}, false, nil
}
