package streams

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"millrace"
)

// Discard removes a task from among the dead, for good. Its record stays until it
// expires. [millrace.ErrNotFound] means that it is not there, and a
// [millrace.NotDeadError] that it is on its way again.
func (s *Store) Discard(ctx context.Context, id string) error {
	d, err := s.findDead(ctx, id)
	if err != nil {
		return err
	}
	found, err := s.lastOnLeader(ctx, bucketStream(resultsBucket), recordSubject(id))
	if err != nil {
		return err
	}
	if len(found) > 0 {
		r, err := parseRecord(found[0])
		if err == nil && !r.State.Final() && r.Redrives == d.Record.Redrives { // its worker is about to fail it
			return &millrace.NotDeadError{ID: id, State: r.State}
		}
	}
	return s.deleteMessage(ctx, deadStream, d.sequence)
}

// How many dead tasks are counted, and looked at for that, at most.
const (
	maxCounted = 10_000
	maxSought  = 100_000
)

// DiscardAll removes the dead tasks that match for good, if those are as many as confirm
// says; else it removes none, and the error is a [CountError]. It wraps
// [millrace.ErrInvalid] for more than can be counted at once. Limit and Cursor do not
// matter. If it breaks off, it returns how many are gone.
func (s *Store) DiscardAll(ctx context.Context, q DeadQuery, confirm int) (int, error) {
	all, err := s.deadSequences(ctx, q)
	if err != nil {
		return 0, err
	}
	if len(all) != confirm {
		return 0, &CountError{"dead tasks that match", uint64(len(all)), uint64(confirm)}
	}
	gone := 0
	for len(all) > 0 && err == nil {
		some := all[:min(removers, len(all))]
		all = all[len(some):]
		errs := make([]error, len(some))
		var removing sync.WaitGroup
		for i, seq := range some {
			removing.Go(func() { errs[i] = s.deleteMessage(ctx, deadStream, seq) })
		}
		removing.Wait()
		for _, err := range errs {
			if err == nil {
				gone++
			}
		}
		err = errors.Join(errs...)
	}
	if err != nil {
		return gone, fmt.Errorf("discard dead tasks: %w", err)
	}
	return gone, nil
}

// deadSequences are where the dead tasks lie that match.
func (s *Store) deadSequences(ctx context.Context, q DeadQuery) ([]uint64, error) {
	l := &backwards[DeadEntry]{stream: deadStream}
	if err := l.open(ctx, s, q.Since, q.Until); err != nil {
		return nil, err
	}
	var all []uint64
	sought := 0
	err := s.scanPages(ctx, deadStream, deadFilter(q.Queue, q.Kind), l.from, func(page []stored) (bool, error) {
		var some []placed[DeadEntry]
		for _, st := range page {
			if st.seq >= l.before {
				break
			}
			if d, ok := q.match(st); ok {
				some = append(some, placed[DeadEntry]{d, st.time, st.seq})
			}
		}
		alive, err := s.alive(ctx, some)
		if err != nil {
			return false, err
		}
		for _, d := range some {
			if !alive[d.value.ID] {
				all = append(all, d.seq)
			}
		}
		if sought += len(page); sought > maxSought || len(all) > maxCounted {
			return false, fmt.Errorf("%w: these are more than can be discarded at once, which is %d that match among %d: say of which queue and kind, or since and until when", millrace.ErrInvalid, maxCounted, maxSought)
		}
		return len(page) > 0 && page[len(page)-1].seq < l.before, nil
	})
	return all, err
}
