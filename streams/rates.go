package streams

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"millrace"
)

// A rate is kept by giving each task the time at which it may begin, an interval after
// the one before (the generic cell rate algorithm, ITU-T I.371, which is a token bucket
// that is counted in time). What is kept of it is one time, that of the next task, which
// every process advances by compare-and-set: so it holds over all of them. A process
// advances it for all its tasks that ask meanwhile at once.
//
// Up to a second's worth may begin together. A task that has to wait for longer than
// maxReserved is given no time yet: it is put off for half as long as it seems, and asks
// again, so that a rate that is changed is soon heeded.
const maxReserved = 30 * time.Second

// rates are those that this process has to do with.
type rates struct {
	mu    sync.Mutex
	gates map[string]*rateGate // by limit
}

// rateGate is where tasks are given their time. It goes when nobody is at it.
type rateGate struct {
	mu      sync.Mutex
	waiting []*ticket // guarded by rates.mu
	users   int       // guarded by rates.mu
}

// ticket is of a task that asks for its time.
type ticket struct {
	wait time.Duration
	err  error
	done bool
}

// Reserve says how long a task has to wait before it may begin, by the rates of its key
// and of its kind; zero if it may now. After that wait, which its record must show as
// one because of a limit, it may.
func (s *Store) Reserve(ctx context.Context, d *Delivery) (time.Duration, error) {
	if reserved(d.Record) {
		return 0, nil
	}
	limits, _ := s.Limits()
	var longest time.Duration
	for _, scope := range []millrace.LimitScope{millrace.LimitKey, millrace.LimitKind} {
		name := nameOf(d.Task, scope)
		l, ok := millrace.LimitOf(limits, scope, name)
		if !ok || name == "" || l.Rate.IsZero() {
			continue
		}
		wait, err := s.reserve(ctx, limitName(scope, name), l.Rate)
		if err != nil {
			return 0, fmt.Errorf("rate of %s %s: %w", scope, name, err)
		}
		if longest = max(longest, wait); longest > maxReserved {
			break // it asks again for both
		}
	}
	return longest, nil
}

// reserved reports whether a task was given its time, and that has come.
func reserved(r *millrace.Record) bool {
	if r == nil || r.State == millrace.Running || len(r.Waits) == 0 {
		return false
	}
	last := r.Waits[len(r.Waits)-1]
	if n := len(r.Attempts); n > 0 && r.Attempts[n-1].EndedAt.After(last.Since) {
		return false
	}
	return last.Why == millrace.WaitLimit && last.Until.Sub(last.Since) <= maxReserved && !time.Now().Before(last.Until)
}

// reserve gives one task its time.
func (s *Store) reserve(ctx context.Context, limit string, rate millrace.Rate) (time.Duration, error) {
	t := &ticket{}
	g := s.rates.join(limit, t)
	defer s.rates.leave(limit, g)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.done {
		s.giveTimes(ctx, limit, rate, s.rates.take(g))
	}
	return t.wait, t.err
}

func (r *rates) join(limit string, t *ticket) *rateGate {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gates[limit]
	if g == nil {
		g = &rateGate{}
		r.gates[limit] = g
	}
	g.users++
	g.waiting = append(g.waiting, t)
	return g
}

func (r *rates) take(g *rateGate) []*ticket {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := g.waiting
	g.waiting = nil
	return all
}

func (r *rates) leave(limit string, g *rateGate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.users--; g.users == 0 {
		delete(r.gates, limit)
	}
}

// nextTime is what is kept of a rate: when the next task would begin if none might
// begin together with others.
type nextTime struct {
	Next time.Time `json:"next"`
}

// giveTimes gives tasks their times, which are on disk then.
func (s *Store) giveTimes(ctx context.Context, limit string, rate millrace.Rate, tickets []*ticket) {
	fail := func(err error) {
		for _, t := range tickets {
			t.err, t.done = err, true
		}
	}
	interval := rate.Interval()
	together := min(time.Second, rate.Per) - interval // what may begin ahead of its time
	for {
		next, revision, err := s.nextTime(ctx, limit)
		if err != nil {
			fail(err)
			return
		}
		now := time.Now()
		given := 0
		for _, t := range tickets {
			if next.Before(now) {
				next = now
			}
			t.wait = max(0, next.Add(-max(together, 0)).Sub(now))
			if t.wait > maxReserved {
				// Those behind it are later still.
				t.wait = max(t.wait/2, maxReserved+time.Second)
				continue
			}
			next = next.Add(interval)
			given++
		}
		if given > 0 {
			err = s.setNextTime(ctx, limit, next, revision)
		}
		if errors.Is(err, millrace.ErrConflict) {
			continue // another process was faster
		}
		fail(err)
		return
	}
}

func (s *Store) nextTime(ctx context.Context, limit string) (time.Time, uint64, error) {
	found, err := s.lastBy(ctx, heldStream, rateSubject(limit))
	if err != nil || len(found) == 0 {
		return time.Time{}, 0, err
	}
	var kept nextTime
	if err := decode(found[0].data, &kept); err != nil {
		s.log.Error("a rate begins anew, since what is kept of it cannot be read", "limit", limit, "error", err)
	}
	return kept.Next, found[0].seq, nil
}

// setNextTime keeps the time for as long as it means something.
func (s *Store) setNextTime(ctx context.Context, limit string, next time.Time, revision uint64) error {
	data, err := encode(nextTime{next.UTC()})
	if err != nil {
		return err
	}
	msg := newMessage(rateSubject(limit), data, revision)
	expireAfter(msg, time.Until(next)+time.Second)
	_, err = s.held.store(ctx, msg)
	return err
}
