package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// MaxTogether is how many tasks [Store.SubmitTogether] takes at most: what the broker
// writes as one.
const MaxTogether = 1000

// SubmitTogether submits tasks of one queue, all of them or none. Those that are
// there already, as they are, count as done, so to submit them again is safe. With an
// error nothing of it was stored, unless it wraps [millrace.ErrUnavailable] and no
// answer came. A [TogetherError] says which task is in the way.
//
// Limits do not hold them up here, but when a worker gets them.
func (s *Store) SubmitTogether(ctx context.Context, tasks []millrace.RawTask) error {
	if len(tasks) == 0 {
		return nil
	}
	if len(tasks) > MaxTogether {
		return fmt.Errorf("%w: %d tasks at once are the most, not %d", millrace.ErrInvalid, MaxTogether, len(tasks))
	}
	msgs := make([]*nats.Msg, len(tasks))
	seen := make(map[string]int, len(tasks))
	for i, t := range tasks {
		var err error
		first, twice := seen[t.ID]
		t = traced(ctx, t)
		switch msgs[i], err = s.taskMessage(t); {
		case err == nil && t.Queue != tasks[0].Queue:
			err = fmt.Errorf("%w: the queue is %s, and that of the first is %s: together they must be of one", millrace.ErrInvalid, t.Queue, tasks[0].Queue)
		case err == nil && twice:
			err = fmt.Errorf("%w: the id is that of task %d already", millrace.ErrInvalid, first+1)
		case err == nil && int64(msgs[i].Size()) > s.nc.MaxPayload()-maxHeaders:
			err = errTooLarge
		}
		if err != nil {
			return &TogetherError{i, err}
		}
		seen[t.ID] = i
	}
	// Somebody else may be at the same. Who comes third finds all of it.
	for range 3 {
		_, err := s.replies.storeTogether(ctx, msgs)
		if !errors.Is(err, millrace.ErrConflict) {
			if err != nil {
				return fmt.Errorf("submit together to queue %s: %w", tasks[0].Queue, err)
			}
			for _, m := range msgs { // those that were not there before
				queue, kind, _, _ := parseTaskSubject(m.Subject)
				s.submitted(millrace.RawTask{Queue: queue, Kind: kind})
			}
			return nil
		}
		// A batch that was refused is written again without those that are there.
		var left []*nats.Msg
		for i, kept := range s.Kept(ctx, tasks) {
			if kept.Err == nil && !kept.Same {
				kept.Err = errIDTaken
			}
			switch {
			case errors.Is(kept.Err, millrace.ErrNotFound):
				msg, err := s.taskMessage(tasks[i])
				if err != nil {
					return &TogetherError{i, err}
				}
				left = append(left, msg)
			case kept.Err != nil:
				return &TogetherError{i, kept.Err}
			}
		}
		if msgs = left; len(msgs) == 0 {
			return nil
		}
	}
	return fmt.Errorf("submit together to queue %s: %w: others submit tasks of the same ids", tasks[0].Queue, millrace.ErrConflict)
}

// TogetherError says which task keeps the others from being submitted.
type TogetherError struct {
	// Index is that of the task, from 0.
	Index int
	Err   error
}

// Error says what is wrong with the task.
func (e *TogetherError) Error() string { return e.Err.Error() }

// Unwrap gives what is wrong with the task.
func (e *TogetherError) Unwrap() error { return e.Err }

// Kept is what is kept under the id of a task that was, perhaps, submitted before.
type Kept struct {
	// Same is whether it is the very same task: its kind, queue, args and options.
	Same bool
	// Due is when it is to be in its queue, if it waits for that.
	Due time.Time
	// Err wraps [millrace.ErrNotFound] if nothing of that id is there.
	Err error
}

// Kept says for each of the tasks what there is already under its id: in its queue's
// log, among what waits for its time, or in the line of a limit.
func (s *Store) Kept(ctx context.Context, tasks []millrace.RawTask) []Kept {
	kept := make([]Kept, len(tasks))
	bySubject := map[string][]int{}
	subjects := map[string][]string{}
	for i, t := range tasks {
		subject := taskSubject(t.Queue, t.Kind, t.ID)
		bySubject[subject] = append(bySubject[subject], i)
		subjects[t.Queue] = append(subjects[t.Queue], subject)
		kept[i].Err = errNotKept
	}
	for queue, all := range subjects {
		slices.Sort(all)
		for some := range slices.Chunk(slices.Compact(all), maxBatch) {
			found, err := s.lastBy(ctx, taskStream(queue), some...)
			if err != nil {
				for _, subject := range some {
					for _, i := range bySubject[subject] {
						kept[i].Err = err
					}
				}
			}
			for _, st := range found {
				there, err := parseTask(st.subject, st.data)
				for _, i := range bySubject[st.subject] {
					kept[i] = Kept{Same: err == nil && sameTask(there, tasks[i])}
				}
			}
		}
	}
	for i, t := range tasks {
		if kept[i].Err == errNotKept {
			kept[i] = s.keptOutside(ctx, t)
		}
	}
	return kept
}

var errNotKept = fmt.Errorf("nothing is kept under the id: %w", millrace.ErrNotFound)

// keptOutside is Kept for a task that is in no log.
func (s *Store) keptOutside(ctx context.Context, t millrace.RawTask) Kept {
	found, err := s.lastBy(ctx, scheduleStream(shardOf(t.ID)), waitingFilter(t.ID), timerSubject(t.ID), dueSubject(t.ID))
	if err != nil {
		return Kept{Err: err}
	}
	for _, st := range found {
		var w waiting
		if decode(st.data, &w) == nil {
			w.Task.ID = t.ID
			return Kept{Same: sameTask(w.Task, t), Due: w.Due}
		}
	}
	places, err := s.inLine(ctx, t.ID)
	if err != nil {
		return Kept{Err: err}
	}
	if len(places) > 0 {
		return Kept{Same: sameTask(places[0].Task, t)}
	}
	return Kept{Err: errNotKept}
}

// sameTask is whether two tasks are one, submitted twice.
func sameTask(a, b millrace.RawTask) bool {
	for _, t := range []*millrace.RawTask{&a, &b} {
		t.SubmittedAt, t.Tried, t.Redrives, t.Spent, t.Passes, t.Unique, t.Trace, t.Attempt = time.Time{}, 0, 0, 0, nil, false, millrace.Trace{}, 0
	}
	one, err := encode(a)
	other, err2 := encode(b)
	return err == nil && err2 == nil && bytes.Equal(one, other)
}
