package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// A task that waits for its time is a message in a stream of its own. So it waits
// without a worker, without a place among the consumer's pending, and without a
// process of ours: the server says when the time has come (ADR-51 of the NATS
// architecture records).
//
//	submitted for later     waiting ─► log
//	parked for a retry      log ─► waiting ─► log
//	checked out             log ─► timer ─► log, the timer being put off while its
//	                        worker lives: it is the lease of the task
//
// What waits for a while lies under its second, which has one schedule for all of
// it (see second.go). What is put off again and again, or is due in a moment, has a
// schedule of its own, its timer.
//
// Each step writes the next place before it leaves the last one. What died between
// the two is in both, and the later step finds out: a place in the log is taken by
// compare-and-set on the sequence that the task was taken from.
type waiting struct {
	Task millrace.RawTask `json:"task"`
	// Due is when its time comes. The server counts in whole seconds, so it is
	// rounded up, and nothing is early.
	Due time.Time `json:"due"`
	// Sequence is the place in its queue's log that it was taken from, zero if it
	// was never there.
	Sequence uint64 `json:"sequence,omitzero"`
	// Paused says that it waits since its kind is paused.
	Paused bool `json:"paused,omitzero"`
}

// SubmitAt submits a task for a time. Until then its state is scheduled. A time
// that is not in the future means now. The errors are those of [Store.Submit]. An id
// that waits is taken, but not yet in its queue: whoever brings it there first has it,
// and a second task of that id is dropped.
func (s *Store) SubmitAt(ctx context.Context, task millrace.RawTask, at time.Time) error {
	if !at.After(time.Now()) {
		return s.Submit(ctx, task)
	}
	task = traced(ctx, task)
	if task.Queue == "" {
		task.Queue = s.Route(task.Kind)
	}
	if len(task.Args) == 0 {
		task.Args = nil // empty args are none
	}
	if _, err := s.taskMessage(task); err != nil {
		return err
	}
	if err := s.wait(ctx, waiting{Task: task, Due: at.UTC()}, 0); err != nil {
		return fmt.Errorf("submit for later: %w", err)
	}
	s.submitted(task)
	return nil
}

// soon is for how short a wait a task gets a schedule of its own: its second may
// have come before it is there.
const soon = 3 * time.Second

// wait lets a task wait, if what waits of it has that revision: zero for none.
func (s *Store) wait(ctx context.Context, w waiting, revision uint64) error {
	if time.Until(w.Due) < soon {
		_, err := s.setTimer(ctx, w, revision)
		return err
	}
	return s.waitForSecond(ctx, w, revision)
}

// setTimer lets a task wait on its own, if its timer has that revision, and returns
// the new one.
func (s *Store) setTimer(ctx context.Context, w waiting, revision uint64) (uint64, error) {
	return s.schedule(ctx, shardOf(w.Task.ID), timerSubject(w.Task.ID), dueSubject(w.Task.ID), w.Due, w, revision)
}

// schedule lets the server publish body as target when it is due.
func (s *Store) schedule(ctx context.Context, shard int, subject, target string, due time.Time, body any, revision uint64) (uint64, error) {
	msg, err := scheduled(subject, target, due, body, revision)
	if err != nil {
		return 0, err
	}
	return s.waiting[shard].store(ctx, msg)
}

// LastDue is the latest time that anything can wait for. The server counts the
// nanoseconds since 1970 in 63 bits, which end in April 2262: to it, what is due
// later was due long ago.
func LastDue() time.Time { return time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC) }

// scheduled makes a message that the server publishes again as target when it is due.
func scheduled(subject, target string, due time.Time, body any, revision uint64) (*nats.Msg, error) {
	if due.After(LastDue()) {
		return nil, fmt.Errorf("%w: it is due after %s, which is as far as the broker counts", millrace.ErrInvalid, LastDue().Format(time.DateOnly))
	}
	data, err := encode(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
	}
	msg := newMessage(subject, data, revision)
	msg.Header.Set("Nats-Schedule", "@at "+ceilSecond(due).UTC().Format(time.RFC3339))
	msg.Header.Set("Nats-Schedule-Target", target)
	return msg, nil
}

// mayGrow is how much longer a waiting task can get: its due time has more or fewer
// digits, and so has the number of its attempts; under its second its headers differ.
const mayGrow = 256

// canWait reports whether a task can wait outside its queue's log. One that is as
// large as the broker takes cannot, since what waits is larger by some words.
func (s *Store) canWait(w waiting) bool {
	msg, err := scheduled(timerSubject(w.Task.ID), dueSubject(w.Task.ID), w.Due, w, anyRevision)
	return err == nil && int64(msg.Size())+mayGrow <= s.nc.MaxPayload()-maxHeaders
}

func ceilSecond(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// HandBack notes r and hands the task back, for somebody else to take at once. A
// server in this process is about to stop with it, and would forget a nak: so there
// the task is parked for a moment instead of waiting for its lease to end. What
// cannot wait outside its queue's log, or is no task, has to.
func (s *Store) HandBack(ctx context.Context, d *Delivery, r millrace.Record) error {
	due := time.Now()
	if r.NextAt.After(due) {
		due = r.NextAt
	}
	if s.cfg.InProcess == nil || d.Malformed != nil || !d.CheckedOut() && !s.canWait(d.waiting(due)) {
		return s.Retry(ctx, d, r, 0)
	}
	return s.park(ctx, d, r, due)
}

// park notes r and takes the task off its queue until it is due.
func (s *Store) park(ctx context.Context, d *Delivery, r millrace.Record, due time.Time) error {
	r.Parked = d.Sequence
	if err := s.write(ctx, draft{d, &r, 0}); err != nil {
		return err
	}
	w := d.waiting(due)
	short, kept := shortPasses(w.Task.Passes)
	w.Task.Passes = kept
	w.Paused = putOffBy(&r, due)
	var err error
	if d.CheckedOut() {
		_, err = s.setTimer(ctx, w, d.lease) // its lease is put off until then
	} else {
		err = s.waitReplaced(ctx, w)
	}
	if err == nil {
		err = s.giveBack(ctx, r.ID, short)
	}
	if err != nil {
		return fmt.Errorf("park task %s: %w", r.ID, err)
	}
	if w.Paused {
		s.putOff.add(r.Kind)
		s.callOver(ctx, s.control.Get())
	}
	return d.Ack()
}

// waiting is the delivery's task as it waits.
func (d *Delivery) waiting(due time.Time) waiting {
	w := waiting{Task: d.Task, Due: due, Sequence: d.Sequence}
	if d.Record != nil {
		w.Task.Tried = max(w.Task.Tried, len(d.Record.Attempts))
	}
	return w
}

// parkAgain takes out the deliveries of tasks that were parked, or checked out, by
// somebody who died before the acknowledgement, or whose acknowledgement was lost.
// They wait, or did; what may be missing is the message that waits.
func (s *Store) parkAgain(ctx context.Context, deliveries []*Delivery) []*Delivery {
	out := deliveries[:0]
	for _, d := range deliveries {
		if d.Malformed != nil || d.Record == nil || d.Record.State.Final() || d.Record.Parked != d.Sequence {
			out = append(out, d)
			continue
		}
		err := s.waitAgain(ctx, d)
		if err == nil && (d.Record.HeldBy != "" || !d.Record.NextAt.IsZero()) { // it does not run
			short, _ := shortPasses(d.Task.Passes)
			err = s.giveBack(ctx, d.Task.ID, short)
		}
		if err == nil {
			err = d.Ack()
		} else {
			err = errors.Join(err, d.Release(time.Second))
		}
		if err != nil {
			s.log.Warn("cannot park a task again", "task", d.Task.ID, "error", err)
		}
	}
	return out
}

// waitAgain sees to it that something waits of a task from this place in its log.
// What waits from another place is left from before: it is on its way out.
func (s *Store) waitAgain(ctx context.Context, d *Delivery) error {
	if d.Record.HeldBy != "" {
		return s.holdAgain(ctx, d)
	}
	found, err := s.lastBy(ctx, scheduleStream(shardOf(d.Task.ID)), waitingFilter(d.Task.ID), timerSubject(d.Task.ID))
	if err != nil {
		return err
	}
	revision := uint64(0)
	for _, st := range found {
		var w waiting
		if decode(st.data, &w) == nil && w.Sequence == d.Sequence {
			return s.alarmFor(ctx, st.subject, w)
		}
		if st.subject == timerSubject(d.Task.ID) {
			revision = st.seq
		}
	}
	if due := d.Record.NextAt; !due.IsZero() {
		w := d.waiting(due)
		_, w.Task.Passes = shortPasses(w.Task.Passes)
		w.Paused = putOffBy(d.Record, due)
		return s.waitReplaced(ctx, w)
	}
	// It runs, and its worker may live: the lease is between the two of them.
	_, err = s.setTimer(ctx, d.waiting(time.Now().Add(s.cfg.AckWait)), revision)
	if errors.Is(err, millrace.ErrConflict) {
		return nil
	}
	return err
}

// alarmFor sees to it that what waits under its second has an alarm.
func (s *Store) alarmFor(ctx context.Context, subject string, w waiting) error {
	second := ceilSecond(w.Due)
	if subject != waitingSubject(w.Task.ID, second) {
		return nil // it has a schedule of its own
	}
	alarms := s.alarms[shardOf(w.Task.ID)]
	if time.Until(second) < soon {
		return alarms.setAgain(ctx, second)
	}
	return alarms.set(ctx, second)
}
