package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
)

// purged is what the record of a purged task says.
const purged = "purged"

// purgedAtOnce is how many tasks are purged together.
const purgedAtOnce = maxPulled

// Purge cancels what is pending in a queue: each task gets its final record, with the
// reason "purged", and then leaves the queue. What runs goes on, what waits for its
// time or for another attempt still comes, and so does what is submitted meanwhile.
//
// Confirm is how many tasks there are, as [Store.QueueState] tells: if that is wrong,
// nothing is done, and the error is a [CountError]. It returns how many were purged, and
// how many of them are left, if ctx ended before: then purge again. That is safe, as
// what was purged stays so.
//
// Purge takes the tasks as a worker would, so no task is ever both run and purged; what
// it was given when its process dies comes to a worker, or to the next purge, once its
// lease is over.
func (s *Store) Purge(ctx context.Context, queue string, confirm uint64) (done, left uint64, err error) {
	before, err := s.QueueState(ctx, queue)
	if err != nil {
		return 0, 0, err
	}
	if before.Pending != confirm {
		return 0, before.Pending, &CountError{"pending tasks in the queue " + queue, before.Pending, confirm}
	}
	last, err := s.LastSequence(ctx, queue)
	if err != nil {
		return 0, 0, err
	}
	puller, err := s.Pull(queue)
	if err != nil {
		return 0, 0, err
	}
	done, err = s.purgeUntil(ctx, puller, last)
	if closing := puller.Close(); closing != nil {
		s.log.Warn("tasks on their way are not handed back; they come again when their lease is over", "queue", queue, "error", closing)
	}
	if err != nil {
		return done, 0, fmt.Errorf("purge queue %s, of which %d are done: %w", queue, done, err)
	}
	after, err := s.QueueState(context.WithoutCancel(ctx), queue)
	return done, min(after.Pending, before.Pending-min(done, before.Pending)), err
}

// purgeUntil cancels what comes, up to that place in the log, until nothing does.
func (s *Store) purgeUntil(ctx context.Context, puller *Puller, last uint64) (done uint64, err error) {
	for ctx.Err() == nil {
		// What was asked for comes, also when somebody else was faster by now.
		some, err := puller.Next(ctx, purgedAtOnce)
		if err != nil || len(some) == 0 {
			return done, err
		}
		n, newer, err := s.purgeSome(context.WithoutCancel(ctx), some, last)
		if done += n; err != nil || newer {
			return done, err
		}
	}
	return done, nil
}

// purgeSome cancels those of some deliveries that lie up to last in the log, and hands
// the others back. newer reports whether there were any.
func (s *Store) purgeSome(ctx context.Context, some []*Delivery, last uint64) (done uint64, newer bool, err error) {
	all := make([]Finished, 0, len(some))
	for _, d := range some {
		switch {
		case d.Sequence > last:
			newer = true
			err = errors.Join(err, s.handBackUnused(ctx, d))
		case d.Record != nil && d.Record.State.Final():
			err = errors.Join(err, d.Ack())
		case d.Record != nil && time.Until(d.Record.NextAt) > 0: // the server forgot how long to hold it back
			err = errors.Join(err, d.Release(time.Until(d.Record.NextAt)))
		default:
			all = append(all, Finished{Delivery: d, Final: d.purgedRecord(), TTL: time.Duration(millrace.DefaultResultTTL)})
		}
	}
	for i, failed := range s.FinishAll(ctx, all) {
		switch {
		case failed == nil:
			done++
		case !errors.Is(failed, millrace.ErrConflict): // else somebody has finished it, and it comes once more
			err = errors.Join(err, failed, all[i].Release(0))
		}
	}
	return done, newer, err
}

func (d *Delivery) purgedRecord() millrace.Record {
	t := d.Task
	r := millrace.Record{ID: t.ID, Kind: t.Kind, Queue: t.Queue, Tags: t.Tags, SubmittedAt: t.SubmittedAt}
	if d.Record != nil {
		r = *d.Record
	}
	r.State, r.Error, r.NextAt, r.Lost = millrace.Cancelled, purged, time.Time{}, r.Died()
	return r
}

// handBackUnused notes that the delivery of a task did not die, and hands it back.
func (s *Store) handBackUnused(ctx context.Context, d *Delivery) error {
	t := d.Task
	r := millrace.Record{ID: t.ID, Kind: t.Kind, Queue: t.Queue, State: millrace.Pending, Tags: t.Tags, SubmittedAt: t.SubmittedAt}
	if d.Record != nil {
		r = *d.Record
	}
	r.Deliveries = max(r.Deliveries+1, int(d.Delivered))
	if err := s.Retry(ctx, d, r, 0); err != nil && !errors.Is(err, millrace.ErrConflict) {
		return err
	}
	return nil
}
