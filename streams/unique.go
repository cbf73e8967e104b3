package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
)

// Unique keys. A task takes its key by compare-and-set, and is submitted then. What it
// leaves under the key is all of the task: so whoever finds a key whose task is nowhere,
// since the one who took it is slow or has died, submits that very task, which is the
// same twice, and then finds it there. So of two tasks one has the key, and none that
// was answered is lost.
//
//	nobody has it           take it, submit
//	its task is nowhere     within claimTime: submit that task, and look again;
//	                        later: nobody was told of it, or all have forgotten it: take it
//	its task has had it     take it
//	its task has it         reject, return or replace
//
// A key is not given back: nobody writes when a task begins or finishes. Who comes next
// looks what became of the task, and so does [Store.SweepUnique] for those that nobody
// asks for.
type uniqueEntry struct {
	Task  millrace.RawTask     `json:"task"`
	Due   time.Time            `json:"due,omitzero"`
	Took  time.Time            `json:"took"`
	While millrace.UniqueScope `json:"while"`
	// Until is when a key that is had for a time is free.
	Until time.Time `json:"until,omitzero"`
}

// claimTime is longer than anybody takes to submit a task whose key it has.
const claimTime = 30 * time.Second

// Holding is what became of a unique submission.
type Holding struct {
	// ID is of the task that has the key now, and so are its Kind and Queue.
	ID, Kind, Queue string
	// State is the task's: pending or scheduled, for one that was submitted or replaced.
	// Empty means that it has finished and its record has expired.
	State millrace.State
	// Due is when it may run, if it is scheduled.
	Due time.Time
	// Existing is whether it was there before, and Replaced whether it got the args,
	// options and time of this submission.
	Existing, Replaced bool
	// Replayed is whether this very submission had the key already.
	Replayed bool
}

// SubmitUnique submits a task for a time, which is now if it has passed, unless another
// task has its key. If that is a conflict, the error is a [millrace.TakenError], which
// wraps [millrace.ErrConflict]. To submit the same task again under its id is safe, as long as
// it has its key; another one under that id is a plain conflict. The other errors are those of
// [Store.SubmitAt].
func (s *Store) SubmitUnique(ctx context.Context, task millrace.RawTask, at time.Time, u millrace.Unique) (Holding, error) {
	if err := u.Validate(); err != nil {
		return Holding{}, err
	}
	task = traced(ctx, task)
	if task.Queue == "" {
		task.Queue = s.Route(task.Kind)
	}
	if len(task.Args) == 0 {
		task.Args = nil
	}
	task.Unique = true
	if _, err := s.taskMessage(task); err != nil {
		return Holding{}, err
	}
	if at.After(time.Now()) && !s.canWait(waiting{Task: task, Due: at}) {
		return Holding{}, errTooLarge
	}
	bucket, key := s.buckets[uniqueBucket], millrace.EncodeToken(u.Key)
	for first := true; ; first = false {
		mine, ttl := newUniqueEntry(task, at, u)
		data, err := encode(mine)
		if err != nil {
			return Holding{}, fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
		}
		if first && mine.Due.IsZero() {
			taken, err := s.desk.take(ctx, &claim{entry: mine, key: key, data: data, ttl: ttl})
			if err != nil {
				return Holding{}, err
			}
			if taken {
				return mine.holding(), nil
			}
		}
		found, revision, err := bucket.Get(ctx, key)
		if err != nil && !errors.Is(err, millrace.ErrNotFound) {
			return Holding{}, err
		}
		if err == nil {
			var held uniqueEntry
			if err := decode(found, &held); err != nil {
				return Holding{}, fmt.Errorf("unique key %s: %w", key, err)
			}
			if held.Task.ID == task.ID {
				if task.Queue = held.Task.Queue; !sameTask(held.Task, task) { // another route is no other task
					return Holding{}, errIDTaken
				}
				h, err := s.submitHolder(ctx, held)
				h.Replayed = true
				return h, err
			}
			f, h, free, err := s.holder(ctx, held)
			if err != nil {
				return Holding{}, err
			}
			if !free {
				h, again, err := s.settleUnique(ctx, held, f, h, task, at, u)
				if again && err == nil {
					continue
				}
				return h, err
			}
		}
		revision, err = bucket.Put(ctx, key, data, revision, ttl)
		if errors.Is(err, millrace.ErrConflict) {
			continue // somebody else has taken it
		}
		if err != nil {
			return Holding{}, err
		}
		h, err := s.submitHolder(ctx, mine)
		if errors.Is(err, errIDTaken) {
			s.dropKey(ctx, key, revision)
		}
		return h, err
	}
}

// errIDTaken: the id is that of something else.
var errIDTaken = fmt.Errorf("%w: the id is taken by another task", millrace.ErrConflict)

// checkID says what it means that something is there already under the id of a task
// that has its key: somebody has found the key and was faster, or it is something else.
func (s *Store) checkID(ctx context.Context, task millrace.RawTask) error {
	switch kept := s.Kept(ctx, []millrace.RawTask{task})[0]; {
	case errors.Is(kept.Err, millrace.ErrNotFound): // it has gone on, or a replica lags behind
		return nil
	case kept.Err == nil && !kept.Same:
		return errIDTaken
	default:
		return kept.Err
	}
}

// dropKey lets go of a key whose task was refused. Whoever dies before it leaves a key
// that is free when what has the id of that task has finished.
func (s *Store) dropKey(ctx context.Context, key string, revision uint64) {
	if err := s.buckets[uniqueBucket].Delete(ctx, key, revision); err != nil {
		s.log.Warn("cannot give a unique key back", "key", key, "error", err)
	}
}

func newUniqueEntry(task millrace.RawTask, at time.Time, u millrace.Unique) (e uniqueEntry, ttl time.Duration) {
	now := time.Now()
	e = uniqueEntry{Task: task, Took: now.UTC(), While: u.While}
	if e.While == "" {
		e.While = millrace.WhileUnfinished
	}
	if at.After(now) {
		e.Due = at.UTC()
	}
	if e.While == millrace.WhileFor {
		e.Until, ttl = now.Add(u.For).UTC(), u.For+time.Second
	}
	return e, ttl // the others are kept until they are swept
}

// holding is of a task that has a key and is pending.
func (e uniqueEntry) holding() Holding {
	return Holding{ID: e.Task.ID, Kind: e.Task.Kind, Queue: e.Task.Queue, State: millrace.Pending}
}

// submitHolder submits the task that has a key, if that was not done.
func (s *Store) submitHolder(ctx context.Context, e uniqueEntry) (Holding, error) {
	h := e.holding()
	var err error
	if e.Due.After(time.Now()) {
		h.State, h.Due = millrace.Scheduled, e.Due
		// It waits on its own, so that what replaces it takes its place.
		if _, err = s.setTimer(ctx, waiting{Task: e.Task, Due: e.Due}, 0); err == nil {
			s.submitted(e.Task)
		}
	} else {
		err = s.Submit(ctx, e.Task)
	}
	if errors.Is(err, millrace.ErrConflict) {
		err = s.checkID(ctx, e.Task)
	}
	if err != nil {
		return Holding{}, fmt.Errorf("submit a unique task: %w", err)
	}
	return h, nil
}

// holder looks what became of the task that took a key, and whether the key is free. It
// submits the task if it is nowhere.
func (s *Store) holder(ctx context.Context, e uniqueEntry) (f Found, h Holding, free bool, err error) {
	now := time.Now()
	if e.While == millrace.WhileFor && !now.Before(e.Until) {
		return f, h, true, nil
	}
	h = Holding{ID: e.Task.ID, Kind: e.Task.Kind, Queue: e.Task.Queue, Existing: true}
	f, err = s.Lookup(ctx, e.Task.ID)
	if errors.Is(err, millrace.ErrNotFound) && now.Sub(e.Took) < claimTime {
		h, err = s.submitHolder(ctx, e)
		if errors.Is(err, errIDTaken) { // nobody was told of it
			return f, h, true, nil
		}
		if err != nil {
			return f, h, false, err
		}
		h.Existing = true
		f, err = s.Lookup(ctx, e.Task.ID)
		if errors.Is(err, millrace.ErrNotFound) {
			return f, h, false, nil // a replica that lags behind has looked
		}
	}
	switch {
	case errors.Is(err, millrace.ErrNotFound), errors.Is(err, millrace.ErrGone):
		// It is done, and nobody knows what came of it.
		return f, h, e.While != millrace.WhileFor, nil
	case err != nil:
		return f, h, false, err
	}
	h.State, h.Due = f.Record.State, f.Record.NextAt
	return f, h, e.over(f), nil
}

// over reports whether the task has had its key, as far as that is up to what became of
// it.
func (e uniqueEntry) over(f Found) bool {
	switch e.While {
	case millrace.WhilePending:
		return f.begun()
	case millrace.WhileUnfinished:
		return f.Record.State.Final()
	}
	return false
}

// begun reports whether the first run of a unique task has begun. One that was given to
// a worker and has no record has not been claimed.
func (f Found) begun() bool { return f.Revision > 0 && f.Record.Begun() }

// settleUnique does what a submission wants if another task has its key. again means
// that things have changed meanwhile.
func (s *Store) settleUnique(ctx context.Context, e uniqueEntry, f Found, h Holding, task millrace.RawTask, at time.Time, u millrace.Unique) (_ Holding, again bool, err error) {
	taken := &millrace.TakenError{Key: u.Key, ID: h.ID, State: h.State}
	switch u.OnConflict {
	case millrace.UniqueReturn:
		return h, false, nil
	case millrace.UniqueReplace:
		if e.Task.Kind != task.Kind || e.Task.Queue != task.Queue {
			return Holding{}, false, fmt.Errorf("%w: its kind is %s and its queue %s, which cannot be replaced", taken, e.Task.Kind, e.Task.Queue)
		}
		// One that an older version has submitted would not be claimed.
		if f.begun() || h.State == "" || !e.Task.Unique {
			return Holding{}, false, taken
		}
		err := errMoved
		if f.Record.ID != "" {
			h, err = s.replace(ctx, f, task, at)
		}
		if errors.Is(err, errMoved) {
			return Holding{}, true, pauseFor(ctx, 10*time.Millisecond)
		}
		return h, false, err
	default:
		return Holding{}, false, taken
	}
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", millrace.ErrUnavailable, context.Cause(ctx))
	}
}
