package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"millrace"
)

// What waits for the same second lies under it, and one schedule for all of it, the
// second's alarm, wakes a mover then, which takes them in large batches. A schedule
// for each of them would cost the server two syncs each when it fires: with 100,000
// due at once those take 40 s, in which hardly anything else is written.
//
// The alarm is set before the task is there, so no task waits without one. If that
// took until the second had almost come, it may have rung too early, and is set
// again. What a process leaves that dies just then is found by [Store.SweepWaiting].

// waitForSecond lets a task wait under its second, if what waits of it has that
// revision: zero for none.
func (s *Store) waitForSecond(ctx context.Context, w waiting, revision uint64) error {
	second := ceilSecond(w.Due)
	if second.After(LastDue()) {
		return fmt.Errorf("%w: it is due after %s, which is as far as the broker counts", millrace.ErrInvalid, LastDue().Format(time.DateOnly))
	}
	data, err := encode(w)
	if err != nil {
		return fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
	}
	msg := newMessage(waitingSubject(w.Task.ID, second), data, revision)
	expectRevisionOf(msg, waitingFilter(w.Task.ID))
	alarms := s.alarms[shardOf(w.Task.ID)]
	if err := alarms.set(ctx, second); err != nil {
		return err
	}
	_, err = s.waiting[shardOf(w.Task.ID)].store(ctx, msg)
	stored := err == nil || errors.Is(err, millrace.ErrConflict) || errors.Is(err, millrace.ErrUnavailable) // perhaps
	if stored && time.Until(second) < soon/2 {
		err = errors.Join(err, alarms.setAgain(ctx, second))
	}
	return err
}

// alarms are the schedules that wake the movers of a shard.
type alarms struct {
	store *Store
	shard int

	mu    sync.Mutex
	known map[int64]*alarm // by Unix second
	link  context.Context  // the connection on which they were set
}

// alarm is one that was set by this process, or is being set.
type alarm struct {
	done chan struct{}
	err  error
}

// maxKnown bounds the alarms that are known to be set. To set one twice does no harm.
const maxKnown = 4096

// set sees to it that there is an alarm for that second.
func (a *alarms) set(ctx context.Context, second time.Time) error {
	a.mu.Lock()
	if link := a.store.replies.link.current(); a.link != link {
		clear(a.known) // the broker may have lost some
		a.link = link
	}
	known, ok := a.known[second.Unix()]
	if !ok {
		if len(a.known) >= maxKnown {
			clear(a.known)
		}
		known = &alarm{done: make(chan struct{})}
		a.known[second.Unix()] = known
	}
	a.mu.Unlock()
	if ok {
		<-known.done
		return known.err
	}
	// Others wait for it too, so it is not up to this one to give up.
	if known.err = a.setAgain(context.WithoutCancel(ctx), second); known.err != nil {
		a.mu.Lock()
		if a.known[second.Unix()] == known {
			delete(a.known, second.Unix())
		}
		a.mu.Unlock()
	}
	close(known.done)
	return known.err
}

// setAgain sets the alarm, whether there is one or not. If its second has come it
// rings at once.
func (a *alarms) setAgain(ctx context.Context, second time.Time) error {
	_, err := a.store.schedule(ctx, a.shard, alarmSubject(a.shard, second), rungSubject(a.shard, second), second,
		rung{Second: second.Unix()}, anyRevision)
	return err
}

// rung is what an alarm says.
type rung struct {
	Second int64 `json:"second"`
}

// second is what waited for one second in a shard, and is being moved.
type second struct {
	receipt   // of its alarm
	store     *Store
	shard     int
	at        time.Time
	delivered uint64 // how often its alarm was
	// mark is where that which called the mover lies: rungSubject, but for a resumption.
	mark string
	// rang is the alarm's sequence. What is there and was written before is dealt
	// with; what was written since has set the alarm again.
	rang uint64

	look look
	// partial says that some of it may not have been listed.
	partial bool
	full    map[string]bool // queues that had no room

	listed []stored // not handed out yet
	out    int      // handed out, and not removed
	moved  []string // the ids of those of which that is to come
}

// take hands out up to room tasks of it. None and no error means that there are no
// more.
func (b *second) take(ctx context.Context, room int) ([]*Due, error) {
	// Whoever moves a large one shows that it lives.
	if err := b.respond("+WPI"); err != nil {
		return nil, err
	}
	for {
		if err := b.list(ctx); err != nil {
			return nil, fmt.Errorf("look up what is due at %s: %w", b.at.UTC().Format(time.RFC3339), err)
		}
		if len(b.listed) == 0 {
			return nil, nil
		}
		some := b.listed[:min(room, len(b.listed))]
		b.listed = b.listed[len(some):]
		out, unread := b.read(some)
		b.out += len(out)
		for _, seq := range unread {
			if err := b.store.deleteMessage(ctx, scheduleStream(b.shard), seq); err != nil {
				b.store.log.Warn("cannot remove what cannot be read", "error", err)
			}
		}
		if b.delivered > 1 {
			var err error
			if out, err = b.withoutMoved(ctx, out); err != nil {
				b.partial = true
				return nil, err
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
}

// read reads tasks, and returns the sequences of those that cannot be.
func (b *second) read(some []stored) (out []*Due, unread []uint64) {
	for _, st := range some {
		d, err := parseWaiting(st)
		if err != nil {
			b.store.log.Error("dropped what was due, since it cannot be read", "subject", st.subject, "error", err)
			unread = append(unread, st.seq)
			continue
		}
		d.second = b
		out = append(out, d)
	}
	return out, unread
}

// withoutMoved takes out those that were moved by somebody who died before they were
// removed, and have run since: there is a record. Their log may have forgotten them.
func (b *second) withoutMoved(ctx context.Context, due []*Due) ([]*Due, error) {
	subjects := make([]string, len(due))
	for i, d := range due {
		subjects[i] = recordSubject(d.Task.ID)
	}
	if len(due) == 0 {
		return nil, nil
	}
	found, err := b.store.lastBy(ctx, bucketStream(resultsBucket), subjects...)
	if err != nil {
		return nil, err
	}
	recorded := map[string]bool{}
	for _, st := range found {
		recorded[st.subject] = true
	}
	return slices.DeleteFunc(due, func(d *Due) bool {
		gone := d.sequence == 0 && recorded[recordSubject(d.Task.ID)]
		if gone {
			b.moved = append(b.moved, d.Task.ID)
		}
		return gone
	}), nil
}

// look is where in a second the next ones are to be found. The server looks up 1,024
// at once and refuses if there are more: then they are looked for in a fourth of the
// drawers, and so on.
type look struct {
	drawer, drawers int    // the next one, and how many from there
	seq             uint64 // in a drawer that has to be walked
}

const allDrawers = 256

// list sees to it that something is listed, unless nothing is left.
func (b *second) list(ctx context.Context) error {
	for len(b.listed) == 0 && b.look.drawer < allDrawers {
		found, err := b.lookUp(ctx)
		switch {
		case errors.Is(err, errTooMany) && b.look.drawers == 1:
			b.look.seq = 1
			continue
		case errors.Is(err, errTooMany):
			b.look.drawers /= 4
			continue
		case err != nil:
			return err
		}
		if b.look.seq == 0 {
			b.look.drawer += b.look.drawers
		}
		b.listed = slices.DeleteFunc(found, func(st stored) bool { return st.seq >= b.rang })
	}
	return nil
}

// maxListed is what the server looks up at once.
const maxListed = 1024

// lookUp returns what is in some of the drawers. The server's answer has the alarm
// as well, so it is not by a replica that lags behind.
func (b *second) lookUp(ctx context.Context) ([]stored, error) {
	if b.look.seq > 0 {
		return b.walk(ctx)
	}
	found, err := b.store.lastOf(ctx, scheduleStream(b.shard), maxListed, append(b.filters(), b.mark))
	if err == nil && !slices.ContainsFunc(found, func(st stored) bool { return st.seq >= b.rang }) {
		b.partial = true
	}
	return found, err
}

// walk goes through a drawer that is too full for one look.
func (b *second) walk(ctx context.Context) ([]stored, error) {
	b.partial = true // there is nothing to tell which replica it is that answers
	ask := directGet{NextBy: secondFilter(b.shard, drawer(b.look.drawer), b.at), Batch: maxBatch, MaxBytes: maxLooked, Seq: b.look.seq}
	found, _, err := b.store.getDirect(ctx, scheduleStream(b.shard), maxBatch, ask)
	b.look.seq = 0
	if len(found) > 0 {
		b.look.seq = found[len(found)-1].seq + 1
	}
	return found, err
}

func (b *second) filters() []string {
	if b.look.drawers == allDrawers {
		return []string{secondFilter(b.shard, "*", b.at)}
	}
	all := make([]string, b.look.drawers)
	for i := range all {
		all[i] = secondFilter(b.shard, drawer(b.look.drawer+i), b.at)
	}
	return all
}

// leave is for a second of which all was handed out, or that its mover gives up: if
// all of it was moved it is done with, else it comes again.
func (b *second) leave(ctx context.Context) error {
	err := b.remove(ctx)
	if err == nil && b.out == 0 && !b.partial && b.ended() {
		return b.Ack()
	}
	if b.store.cfg.InProcess != nil && !b.ended() {
		// The server is about to stop as well, and would forget a nak.
		if again := b.store.alarms[b.shard].setAgain(ctx, b.at); again == nil {
			return errors.Join(err, b.Ack())
		}
	}
	return errors.Join(err, b.Release(moveAgain(b.delivered)))
}

// ended reports whether all of it was handed out.
func (b *second) ended() bool { return len(b.listed) == 0 && b.look.drawer >= allDrawers }

// done notes what was moved. With the last of it, it is taken out of where it waited:
// to find it takes the server as long as all that waits for that second is.
func (b *second) done(ctx context.Context, moved []*Due) error {
	for _, d := range moved {
		b.moved = append(b.moved, d.Task.ID)
	}
	if !b.ended() {
		return nil
	}
	return b.remove(ctx)
}

// removers is how many are removed at once, if it has to be one by one.
const removers = 16

// remove takes what was moved out of where it waited.
func (b *second) remove(ctx context.Context) error {
	if len(b.moved) == 0 {
		return nil
	}
	stream := scheduleStream(b.shard)
	if len(b.moved) == b.out && !b.partial && b.ended() {
		if _, err := b.store.purgeUpTo(ctx, stream, secondFilter(b.shard, "*", b.at), b.rang); err != nil {
			return fmt.Errorf("remove what was moved: %w", err)
		}
	} else {
		err := removeEach(b.moved, func(id string) error { return b.store.purge(ctx, stream, waitingSubject(id, b.at)) })
		if err != nil {
			return err
		}
	}
	b.out -= len(b.moved)
	b.moved = nil
	return nil
}
