package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
)

// A task that runs for long would hold back the trimming of its queue's log. So its
// worker checks it out: from then on its lease is a message that waits, and that
// brings the task back when it is due. The worker puts the time off while it lives.

// CheckOut takes a running task off its queue. Its record must be one that runs.
// From now on its lease is renewed by [Store.ExtendCheckedOut], and lasts
// [Store.AckWait]. On [millrace.ErrConflict] the task is not this worker's any more.
//
// One that is too large to wait elsewhere stays in the queue, and its lease is
// renewed there.
func (s *Store) CheckOut(ctx context.Context, d *Delivery, r millrace.Record) error {
	until := time.Now().Add(s.cfg.AckWait)
	if !s.canWait(d.waiting(until)) {
		return s.Extend(ctx, []*Delivery{d})
	}
	r.Parked = d.Sequence
	if err := s.write(ctx, draft{d, &r, 0}); err != nil {
		return err
	}
	lease, err := s.setTimer(ctx, d.waiting(until), anyRevision)
	if err != nil {
		return fmt.Errorf("check out task %s: %w", d.Task.ID, err)
	}
	d.lease = lease
	return d.Ack()
}

// CheckedOut reports whether the task was taken off its queue while it runs.
func (d *Delivery) CheckedOut() bool { return d.lease != 0 }

// ExtendCheckedOut renews the lease of a task that is checked out. On
// [millrace.ErrConflict] it was over.
func (s *Store) ExtendCheckedOut(ctx context.Context, d *Delivery) error {
	until := time.Now().Add(s.cfg.AckWait)
	lease, err := s.setTimer(ctx, d.waiting(until), d.lease)
	if errors.Is(err, millrace.ErrConflict) && !d.renewal.IsZero() && s.adoptLease(ctx, d) {
		lease, err = s.setTimer(ctx, d.waiting(until), d.lease)
	}
	if err != nil {
		if errors.Is(err, millrace.ErrUnavailable) {
			d.renewal = until
		}
		return fmt.Errorf("renew the lease of task %s: %w", d.Task.ID, err)
	}
	d.lease, d.renewal = lease, time.Time{}
	return nil
}

// adoptLease takes the lease over if it is the one that got no answer: it must not
// cost its worker hours of work.
func (s *Store) adoptLease(ctx context.Context, d *Delivery) bool {
	found, err := s.lastBy(ctx, scheduleStream(shardOf(d.Task.ID)), timerSubject(d.Task.ID))
	if err != nil || len(found) == 0 {
		return false
	}
	var w waiting
	if decode(found[0].data, &w) != nil || w.Sequence != d.Sequence || !w.Due.Equal(d.renewal) {
		return false
	}
	d.lease = found[0].seq
	return true
}

// giveUpLease removes the lease of a task that is done. If that fails the task
// comes back once more, and its record says that there is nothing to do.
func (s *Store) giveUpLease(ctx context.Context, d *Delivery) error {
	return s.purge(ctx, scheduleStream(shardOf(d.Task.ID)), timerSubject(d.Task.ID))
}
