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
// maxReserved is given no time yet: it is put off for half as long as it seems, and not for
// longer than maxUnreserved, and asks again, so that a rate that is changed is soon heeded.
// For that, what was counted by the rate of before is cut down to what there can be of the
// one of now: else the first task of an hour would keep the next away for an hour, whatever
// the rate is by then.
//
// A task may come behind its time: its worker died, or all were busy. So that those do not
// begin together then, each task that may begin goes through a second time of the same
// kind, that of what has begun, which no task is ahead of by more than two seconds' worth.
// Who does not come through asks again later, each at another moment, and keeps its turn.
const (
	maxReserved   = 30 * time.Second
	maxUnreserved = 5 * time.Minute
	// rateClocks is how far the clocks of those who count may differ.
	rateClocks = 5 * time.Second
)

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
	limits, _ := s.Limits()
	if !reserved(d.Record) {
		wait, err := s.reserveAll(ctx, d, limits, takeTurns)
		if wait > 0 || err != nil {
			return wait, err
		}
	}
	return s.reserveAll(ctx, d, limits, begin)
}

// reserveAll is how long a task has to wait by each of its rates.
func (s *Store) reserveAll(ctx context.Context, d *Delivery, limits []millrace.Limit, give rateStep) (longest time.Duration, err error) {
	for _, scope := range []millrace.LimitScope{millrace.LimitKey, millrace.LimitKind} {
		name := nameOf(d.Task, scope)
		l, ok := millrace.LimitOf(limits, scope, name)
		if !ok || name == "" || l.Rate.IsZero() {
			continue
		}
		wait, err := s.reserve(ctx, give.name+limitName(scope, name), l.Rate, give)
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
func (s *Store) reserve(ctx context.Context, limit string, rate millrace.Rate, give rateStep) (time.Duration, error) {
	t := &ticket{}
	g := s.rates.join(limit, t)
	defer s.rates.leave(limit, g)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.done {
		s.giveTimes(ctx, limit, rate, give, s.rates.take(g))
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

// rateTimes are what is kept of a rate, for turns or for what has begun.
type rateTimes struct {
	// Next is when the next task would come through if none might together with others.
	Next time.Time `json:"next"`
	// Again is when the last one asks again that did not come through.
	Again time.Time `json:"again,omitzero"`
}

// until is for how long they mean something.
func (t rateTimes) until() time.Time {
	if t.Again.After(t.Next) {
		return t.Again
	}
	return t.Next
}

// rateStep is what a task has to pass.
type rateStep struct {
	name string // with which that of its limit begins
	give func(t *rateTimes, rate millrace.Rate, now time.Time) (wait time.Duration)
}

var (
	takeTurns = rateStep{"", takeTurn}
	begin     = rateStep{"begun.", comeThrough}
)

// takeTurn gives a task the time at which it may begin, if that is soon enough.
func takeTurn(t *rateTimes, rate millrace.Rate, now time.Time) time.Duration {
	interval := rate.Interval()
	together := max(0, min(time.Second, rate.Per)-interval) // what may begin ahead of its time
	next := within(t.Next, now, together+maxReserved+interval+rateClocks)
	wait := max(0, next.Add(-together).Sub(now))
	if wait > maxReserved {
		// Those behind it are later still.
		return unreserved(wait)
	}
	t.Next = next.Add(interval)
	return wait
}

// comeThrough lets a task begin now, or says when it is to ask again.
func comeThrough(t *rateTimes, rate millrace.Rate, now time.Time) time.Duration {
	interval := rate.Interval()
	next := within(t.Next, now, max(2*time.Second, interval)+rateClocks)
	open := next.Add(-max(0, 2*time.Second-interval))
	if !open.After(now) {
		t.Next = next.Add(interval)
		return 0
	}
	again := later(open, t.Again.Add(interval))
	if wait := again.Sub(now); wait > maxReserved {
		return unreserved(wait)
	}
	t.Again = again
	return again.Sub(now)
}

// unreserved is for how long a task is put off that is given no time yet.
func unreserved(wait time.Duration) time.Duration {
	return min(max(wait/2, maxReserved+time.Second), maxUnreserved)
}

// within is t, but not before now, and not after what there can be ahead of it.
func within(t, now time.Time, ahead time.Duration) time.Time {
	if most := now.Add(ahead); t.After(most) {
		return most
	}
	return later(t, now)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// giveTimes gives tasks their times, which are on disk then.
func (s *Store) giveTimes(ctx context.Context, limit string, rate millrace.Rate, give rateStep, tickets []*ticket) {
	fail := func(err error) {
		for _, t := range tickets {
			t.err, t.done = err, true
		}
	}
	for {
		times, revision, err := s.rateTimes(ctx, limit)
		if err != nil {
			fail(err)
			return
		}
		before, now := times, time.Now()
		for _, t := range tickets {
			t.wait = give.give(&times, rate, now)
		}
		if times != before {
			err = s.setRateTimes(ctx, limit, times, revision)
		}
		if errors.Is(err, millrace.ErrConflict) {
			continue // another process was faster
		}
		fail(err)
		return
	}
}

func (s *Store) rateTimes(ctx context.Context, limit string) (t rateTimes, revision uint64, err error) {
	found, err := s.lastBy(ctx, heldStream, rateSubject(limit))
	if err != nil || len(found) == 0 {
		return t, 0, err
	}
	if err := decode(found[0].data, &t); err != nil {
		s.log.Error("a rate begins anew, since what is kept of it cannot be read", "limit", limit, "error", err)
		t = rateTimes{}
	}
	return t, found[0].seq, nil
}

// setRateTimes keeps the times for as long as they mean something.
func (s *Store) setRateTimes(ctx context.Context, limit string, t rateTimes, revision uint64) error {
	t.Next, t.Again = t.Next.UTC(), t.Again.UTC()
	data, err := encode(t)
	if err != nil {
		return err
	}
	msg := newMessage(rateSubject(limit), data, revision)
	expireAfter(msg, time.Until(t.until())+time.Second)
	_, err = s.held.store(ctx, msg)
	return err
}
