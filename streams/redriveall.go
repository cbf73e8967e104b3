package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
)

// Redriven is what came of redriving many.
type Redriven struct {
	// Tasks is how many are back in their queues.
	Tasks int
	// Refused are those that cannot be redriven, and stay among the dead.
	Refused []Refusal
	// Next is where to go on, empty if nothing is left.
	Next string
	// SearchedUntil is when the last one died that was looked at; zero if none was.
	SearchedUntil time.Time
}

// Refusal is why a task was not redriven.
type Refusal struct {
	ID  string
	Why error
}

// RedriveAll redrives the dead tasks that match, the one first that died first, as they
// are, so many a second at most: so those of one key come back in their order. It is one
// page of them: whoever wants more calls again with the cursor, and nothing is kept about
// it in between. Of the cursor it is a part where the dead ended at first. Those that die
// again meanwhile come after that, and so each is redriven once.
//
// An error means that it broke off: the broker did not answer, a queue is full, or ctx
// ended. What was done until then is returned with it, and where to go on.
func (s *Store) RedriveAll(ctx context.Context, q DeadQuery, perSecond int) (Redriven, error) {
	run, err := s.startRun(ctx, q)
	if err != nil {
		return Redriven{}, err
	}
	all, lookedUntil, err := run.next(ctx, s, q, min(max(q.Limit, 1), MaxDead))
	if err != nil {
		return Redriven{}, err
	}
	out := Redriven{Next: run.cursor(), SearchedUntil: lookedUntil}
	pace := time.NewTicker(time.Second / time.Duration(max(1, perSecond)))
	defer pace.Stop()
	for i, found := range all {
		if i > 0 {
			select {
			case <-pace.C:
			case <-ctx.Done():
			}
		}
		err := ctx.Err()
		if err == nil {
			err = s.redriveFound(ctx, &out, found)
		}
		if err != nil {
			out.Next = deadRun{found.seq, run.before}.cursor()
			return out, fmt.Errorf("redrive task %s: %w", found.value.ID, err)
		}
	}
	return out, nil
}

// redriveFound redrives one of many. The error is one that would meet the others as well.
func (s *Store) redriveFound(ctx context.Context, out *Redriven, found placed[DeadEntry]) error {
	d, err := s.findDead(ctx, found.value.ID)
	if errors.Is(err, millrace.ErrNotFound) || err == nil && d.sequence != found.seq {
		return nil // somebody else has, and it may have died again
	}
	if err == nil {
		_, err = s.redrive(ctx, d, nil)
	}
	if _, alive := errors.AsType[*millrace.NotDeadError](err); alive || errors.Is(err, millrace.ErrGone) {
		return nil
	}
	switch {
	case err == nil:
		out.Tasks++
	case errors.Is(err, millrace.ErrInvalid), errors.Is(err, millrace.ErrConflict):
		out.Refused = append(out.Refused, Refusal{found.value.ID, err})
	default:
		return err
	}
	return nil
}
