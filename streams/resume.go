package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"millrace"
)

// What is put off since its kind is paused waits for its second, as what waits for a
// retry does: so it looks again by itself, whoever dies. When the kind is resumed it need
// not wait. A message among what is due, one a shard, tells the movers: they look through
// the seconds for which such a task can wait, and move what was put off for that pause.
// It is there until that is done, so another mover goes on where one died. Whoever dies
// before it is written leaves the tasks to their seconds.
//
// A worker may not have heard yet when it puts a task off. So it calls the movers again,
// if the pause is over when it has done so, or when it hears.

// callEarly lets what a pause of the kind has put off come at once.
func (s *Store) callEarly(ctx context.Context, kind string) error {
	data, err := encode(resumed{Kind: kind})
	if err != nil {
		return err
	}
	errs := make([]error, scheduleStreams)
	var calling sync.WaitGroup
	for shard := range errs {
		calling.Go(func() {
			_, errs[shard] = s.waiting[shard].store(ctx, newMessage(resumedSubject(shard, kind), data, anyRevision))
		})
	}
	calling.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("call what kind %s has put off: %w", kind, err)
	}
	return nil
}

// resumed is what the movers are told.
type resumed struct {
	Kind string `json:"kind"`
}

// resumedSubject is where the movers of a shard are told that a kind is resumed.
func resumedSubject(shard int, kind string) string {
	return resumedPrefix(shard) + kindToken(kind)
}

func resumedPrefix(shard int) string { return "due." + strconv.Itoa(shard) + ".resumed." }

// putOffKinds are the kinds of which this process has put tasks off since they were
// last resumed.
type putOffKinds struct {
	mu    sync.Mutex
	kinds map[string]bool
}

func (p *putOffKinds) add(kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kinds == nil {
		p.kinds = map[string]bool{}
	}
	p.kinds[kind] = true
}

// take returns those that are to be called early, and forgets them.
func (p *putOffKinds) take(over func(kind string) bool) (kinds []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for kind := range p.kinds {
		if over(kind) {
			kinds = append(kinds, kind)
			delete(p.kinds, kind)
		}
	}
	return kinds
}

// callLate calls what this process has put off when it hears that its kind is resumed,
// until ctx ends.
func (s *Store) callLate(ctx context.Context) {
	s.control.Watch(ctx, func(set *Settings) { s.callOver(ctx, set) })
}

// callOver calls what this process has put off of kinds that are not paused.
func (s *Store) callOver(ctx context.Context, set *Settings) {
	for _, kind := range s.putOff.take(func(kind string) bool { return set.Kind(kind).Paused.IsZero() }) {
		if err := s.callEarly(ctx, kind); err != nil && ctx.Err() == nil {
			s.log.Warn("what a pause has put off comes when its wait is over", "kind", kind, "error", err)
		}
	}
}

// putOffBy reports whether that is what a task waits for until due: its kind is paused.
func putOffBy(r *millrace.Record, due time.Time) bool {
	if r == nil || len(r.Waits) == 0 {
		return false
	}
	last := r.Waits[len(r.Waits)-1]
	return last.Why == millrace.WaitPause && last.Until.Equal(due)
}

// endPause lets a task be due that a pause has put off, and that was moved before its time:
// somebody has resumed its kind. Who has not heard of that puts it off again.
func (d *Delivery) endPause() {
	r := d.Record
	if r == nil || r.Parked == d.Sequence || !putOffBy(r, r.NextAt) || time.Until(r.NextAt) <= 0 {
		return
	}
	early := *r
	early.NextAt = time.Now().UTC()
	d.Record = &early
}

// resumption is what waits in a shard for the pause of a kind that is over, and is being
// moved.
type resumption struct {
	receipt
	store     *Store
	shard     int
	kind      string
	delivered uint64 // how often its message was
	rang      uint64 // its sequence

	second  *second // that is looked through
	last    time.Time
	partial bool // as in second
}

// putOffWithin is how far the clocks of those who put tasks off may differ.
const putOffWithin = 5 * time.Second

func (s *Store) newResumption(st stored, shard int, r receipt, delivered uint64) (*resumption, error) {
	var told resumed
	if err := decode(st.data, &told); err != nil {
		return nil, err
	}
	if err := millrace.ValidateKind(told.Kind); err != nil {
		return nil, err
	}
	if st.subject != resumedSubject(shard, told.Kind) {
		return nil, fmt.Errorf("it is of the kind %s, which belongs elsewhere", told.Kind)
	}
	now := time.Now()
	out := &resumption{receipt: r, store: s, shard: shard, kind: told.Kind, delivered: delivered, rang: st.seq, last: now.Add(MaxPutOff + putOffWithin)}
	out.lookThrough(ceilSecond(now.Add(-putOffWithin)))
	return out, nil
}

// lookThrough goes on with that second.
func (r *resumption) lookThrough(at time.Time) {
	r.second = &second{store: r.store, shard: r.shard, at: at, rang: r.rang, mark: resumedSubject(r.shard, r.kind), look: look{drawers: allDrawers}}
}

// take hands out up to room of its tasks. None and no error means that there are no more.
func (r *resumption) take(ctx context.Context, room int) ([]*Due, error) {
	if err := r.respond("+WPI"); err != nil {
		return nil, err
	}
	for !r.ended() {
		if err := r.second.list(ctx); err != nil {
			return nil, fmt.Errorf("look up what waits for kind %s: %w", r.kind, err)
		}
		if len(r.second.listed) == 0 {
			r.partial = r.partial || r.second.partial
			r.lookThrough(r.second.at.Add(time.Second))
			continue
		}
		some := r.second.listed[:min(room, len(r.second.listed))]
		r.second.listed = r.second.listed[len(some):]
		if out := r.read(some); len(out) > 0 {
			return out, nil
		}
	}
	return nil, nil
}

func (r *resumption) ended() bool { return r.second.at.After(r.last) }

// read picks what waits for this pause. What is no task is told of when its second comes.
func (r *resumption) read(some []stored) (out []*Due) {
	for _, st := range some {
		d, err := parseWaiting(st)
		if err == nil && d.paused && d.Task.Kind == r.kind {
			d.early = true
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *Due) int { return cmp.Compare(a.sequence, b.sequence) })
	return out
}

// leave ends it, if all of it was handed out: what could not be moved comes when its
// second does. Else another mover goes on.
func (r *resumption) leave(context.Context) error {
	if r.ended() && !r.partial {
		return r.Ack()
	}
	return r.Release(moveAgain(r.delivered))
}

// removeEarly takes out of their seconds what was moved before those came. What lies there
// by now may be newer: the kind is paused again.
func (s *Store) removeEarly(ctx context.Context, moved []*Due) error {
	return removeEach(moved, func(d *Due) error {
		subject := waitingSubject(d.Task.ID, ceilSecond(d.At))
		return s.removeBefore(ctx, scheduleStream(shardOf(d.Task.ID)), subject, d.written+1)
	})
}

// removeEach calls remove for some at once.
func removeEach[T any](all []T, remove func(T) error) error {
	for some := range slices.Chunk(all, removers) {
		errs := make([]error, len(some))
		var removing sync.WaitGroup
		for i, one := range some {
			removing.Go(func() { errs[i] = remove(one) })
		}
		removing.Wait()
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("remove what was moved: %w", err)
		}
	}
	return nil
}
