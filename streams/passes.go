package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// pass lets the first of a line go on, as many as its limit does, if they have not.
func (s *Store) pass(ctx context.Context, limit string) error {
	return s.limits.do(limit, func() error {
		if err := s.passFirst(ctx, limit); err != nil {
			return fmt.Errorf("let tasks past the limit %s: %w", limit, err)
		}
		return nil
	})
}

func (s *Store) passFirst(ctx context.Context, limit string) error {
	most := s.most(limit)
	page := maxBatch
	if most > 0 {
		page = min(most+1, maxBatch)
	}
	line := heldSubject(limit, "*")
	// The server finds what is in a short line by its subjects. For a long one it goes
	// through the messages, of which those of other lines may be many.
	ask := directGet{MultiLast: []string{line}, Batch: page, MaxBytes: maxLooked, Seq: 1}
	for past := 0; most == 0 || past < most; {
		found, end, err := s.getDirect(ctx, heldStream, page, ask)
		if errors.Is(err, errTooMany) {
			ask.MultiLast, ask.NextBy = nil, line
			continue
		}
		if err != nil {
			return err
		}
		var some []place
		for _, st := range found {
			p, ok := parsePlace(st)
			switch {
			case ok:
				some = append(some, p)
			case len(st.data) > 0:
				s.log.Error("dropped what stood in a line, since it cannot be read", "subject", st.subject)
				if err := s.deleteMessage(ctx, heldStream, st.seq); err != nil {
					return err
				}
			}
		}
		n, err := s.passSome(ctx, limit, some, most-past)
		if err != nil {
			return err
		}
		past += n
		if left := end.Get("Nats-Num-Pending"); left == "" || left == "0" || len(found) == 0 {
			return nil
		}
		ask.Seq = found[len(found)-1].seq + 1
	}
	return nil
}

// passSome lets the first of some places go on, most at most if there is a limit, and
// returns how many of them are past it.
func (s *Store) passSome(ctx context.Context, limit string, some []place, most int) (int, error) {
	known := s.limits.passed(limit)
	unknown := slices.DeleteFunc(slices.Clone(some), func(p place) bool { return p.seq <= known })
	records, err := s.recordsOf(ctx, unknown)
	if err != nil {
		return 0, err
	}
	past, last := 0, known
	var on []place
	for _, p := range some {
		if most > 0 && past == most {
			break
		}
		if p.seq <= known {
			past++
			continue
		}
		switch r := records[p.Task.ID]; {
		case r == nil, p.untouched(r), p.Sequence > 0 && r.Parked == p.Sequence && !r.State.Final():
			on = append(on, p)
		case r.State.Final() && (r.State != millrace.Cancelled || time.Since(r.FinishedAt) > leftAfter):
			if err := s.leave(ctx, p.Task.ID, millrace.Pass{Limit: p.limit, Sequence: p.seq}); err != nil {
				return past, err
			}
			continue
		}
		past++
		last = p.seq
	}
	if err := s.goOn(ctx, on); err != nil {
		return past, err
	}
	s.limits.setPassed(limit, last)
	return past, nil
}

// recordsOf are the records of the tasks in some places, by id.
func (s *Store) recordsOf(ctx context.Context, some []place) (map[string]*millrace.Record, error) {
	if len(some) == 0 {
		return nil, nil
	}
	subjects := make([]string, len(some))
	for i, p := range some {
		subjects[i] = recordSubject(p.Task.ID)
	}
	found, err := s.lastBy(ctx, bucketStream(resultsBucket), subjects...)
	if err != nil {
		return nil, err
	}
	records := make(map[string]*millrace.Record, len(found))
	for _, st := range found {
		if r, err := parseRecord(st); err == nil { // else it is told of when the task comes
			records[r.ID] = r
		}
	}
	return records, nil
}

// leftAfter is for how long a task that was cancelled may have a place in a line: as long
// as its worker may need to stop the handler. One that is done has no handler, and its
// worker leaves the line at once. But a server that was killed may have the place back:
// it forgets that a message was written over if what was written is gone as well.
const leftAfter = time.Minute

// goOn brings tasks to their next limit, or to their queue.
func (s *Store) goOn(ctx context.Context, some []place) error {
	var failed error
	lines := map[string]bool{}
	var msgs []*nats.Msg
	byQueue := map[string][]*Due{}
	for _, p := range some {
		t := p.Task
		t.Passes = append(slices.Clip(t.Passes), millrace.Pass{Limit: p.limit, Sequence: p.seq})
		if next := s.nextLimit(t); next != "" {
			msg, err := s.heldMessage(next, held{t, p.Sequence}, 0)
			if err != nil {
				failed = err
				continue
			}
			lines[next] = true
			msgs = append(msgs, msg)
			continue
		}
		if err := s.CheckQueue(t.Queue); err != nil { // another process may know it
			failed = err
			continue
		}
		byQueue[t.Queue] = append(byQueue[t.Queue], &Due{Task: t, sequence: p.Sequence})
	}
	for i, v := range s.held.storeAll(ctx, msgs) {
		if errors.Is(v.err, millrace.ErrConflict) {
			v.err = s.joinAgain(ctx, msgs[i])
		}
		if v.err != nil {
			failed = v.err
		}
	}
	for queue, due := range byQueue {
		msgs := make([]*nats.Msg, len(due))
		for i, d := range due {
			msgs[i] = d.message()
		}
		for i, v := range s.logOf(queue).storeAll(ctx, msgs) {
			if errors.Is(v.err, millrace.ErrConflict) {
				v.err = s.moveElsewhere(ctx, due[i])
			}
			if v.err != nil {
				failed = v.err
			}
		}
	}
	return errors.Join(failed, s.passAll(ctx, lines))
}

// joinAgain is for a task that is in the line already, or has left it a moment ago.
func (s *Store) joinAgain(ctx context.Context, msg *nats.Msg) error {
	found, err := s.lastBy(ctx, heldStream, msg.Subject)
	if err != nil || len(found) > 0 && len(found[0].data) > 0 {
		return err
	}
	over := uint64(0)
	if len(found) > 0 {
		over = found[0].seq
	}
	_, err = s.held.store(ctx, newMessage(msg.Subject, msg.Data, over))
	if errors.Is(err, millrace.ErrConflict) {
		return nil // somebody else was faster
	}
	return err
}

// done takes a task out of the lines in which it is, and lets the next ones go on. To do
// it again does no harm.
func (s *Store) done(ctx context.Context, t millrace.RawTask) error {
	return s.giveBack(ctx, t.ID, t.Passes)
}

// giveBack gives some passes of a task back.
func (s *Store) giveBack(ctx context.Context, id string, passes []millrace.Pass) error {
	if len(passes) == 0 {
		return nil
	}
	lines := map[string]bool{}
	for _, p := range passes {
		lines[p.Limit] = true
	}
	if err := s.leave(ctx, id, passes...); err != nil {
		return err
	}
	return s.passAll(ctx, lines)
}

// leave takes a task out of lines: what lies there is written over, which shares its
// sync with others, and goes by itself.
func (s *Store) leave(ctx context.Context, id string, passes ...millrace.Pass) error {
	msgs := make([]*nats.Msg, len(passes))
	for i, p := range passes {
		msgs[i] = newMessage(heldSubject(p.Limit, id), nil, p.Sequence)
		expireAfter(msgs[i], heldTTL)
	}
	for i, v := range s.held.storeAll(ctx, msgs) {
		if v.err != nil && !errors.Is(v.err, millrace.ErrConflict) { // it has left, or joined again
			return fmt.Errorf("leave the line of %s: %w", passes[i].Limit, v.err)
		}
	}
	return nil
}

// shortPasses are those that a task does not keep while it waits for long.
func shortPasses(passes []millrace.Pass) (short, kept []millrace.Pass) {
	for _, p := range passes {
		if strings.HasPrefix(p.Limit, string(millrace.LimitKey)+"-") {
			kept = append(kept, p)
		} else {
			short = append(short, p)
		}
	}
	return short, kept
}

// Held looks after the lines in which tasks stand that are held back.
type Held struct {
	store *Store
	first map[string]uint64 // the first place of each line, at the last sweep
}

// Held returns one that has not looked yet.
func (s *Store) Held() *Held { return &Held{store: s} }

// Sweep lets tasks go on in the lines whose first one is the same as at the last sweep:
// somebody may have died who should have let them. The first one looks at all lines, since
// it may have been this process. Call it every minute or so.
func (h *Held) Sweep(ctx context.Context) error {
	first, err := h.store.lines(ctx)
	if err != nil {
		return err
	}
	same := map[string]bool{}
	for limit, seq := range first {
		if h.first == nil || h.first[limit] == seq {
			same[limit] = true
		}
	}
	h.first = first
	h.store.limits.forget(same)
	return h.store.passAll(ctx, same)
}

// SweepHeld lets tasks go on in all lines, as when the limits were changed.
func (s *Store) SweepHeld(ctx context.Context) error {
	first, err := s.lines(ctx)
	if err != nil {
		return err
	}
	all := make(map[string]bool, len(first))
	for limit := range first {
		all[limit] = true
	}
	return s.passAll(ctx, all)
}

// lines are the limits for which there is a line, with its first place.
func (s *Store) lines(ctx context.Context) (map[string]uint64, error) {
	first := map[string]uint64{}
	err := s.scan(ctx, heldStream, heldSubject("*", "*"), func(st stored) bool {
		if limit, _, ok := parseHeldSubject(st.subject); ok && len(st.data) > 0 && first[limit] == 0 {
			first[limit] = st.seq
		}
		return true
	})
	return first, err
}

// passAll is pass for several lines.
func (s *Store) passAll(ctx context.Context, lines map[string]bool) error {
	var mu sync.Mutex
	var failed error
	each(slices.Collect(maps.Keys(lines)), func(limit string) {
		if err := s.pass(ctx, limit); err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed = err
		}
	})
	return failed
}

// maxPassing is how many lines are looked at at once.
const maxPassing = 64

// each calls f for several things at once, maxPassing at most.
func each[T any](all []T, f func(T)) {
	if len(all) == 1 {
		f(all[0])
		return
	}
	var calling sync.WaitGroup
	places := make(chan struct{}, maxPassing)
	for _, one := range all {
		places <- struct{}{}
		calling.Go(func() {
			defer func() { <-places }()
			f(one)
		})
	}
	calling.Wait()
}
