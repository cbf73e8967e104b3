package streams

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Cancel calls a task off, wherever it is, and returns its record. To cancel it
// again changes nothing. A task that has succeeded or failed is a
// [millrace.FinalError]; one that was never accepted, or is forgotten, is as in
// [Store.Lookup].
//
// What decides is the final record, written by compare-and-set: a worker that has
// the task meanwhile drops its outcome. Only then is the task taken out of where it
// waits, and its worker told (see [Store.Cancellations]); both save work, and
// nothing depends on them.
func (s *Store) Cancel(ctx context.Context, id string) (millrace.Record, error) {
	for {
		f, err := s.Lookup(ctx, id)
		switch {
		case err != nil:
			return millrace.Record{}, err
		case f.Record.State == millrace.Cancelled:
			return f.Record, nil
		case f.Record.State.Final():
			return f.Record, &millrace.FinalError{ID: id, State: f.Record.State}
		}
		r, err := s.cancel(ctx, f)
		if err == nil {
			s.cancelled(&r)
			s.withdraw(context.WithoutCancel(ctx), r, f)
			return r, nil
		}
		// Somebody wrote since we looked. That ends, as states do.
		if !errors.Is(err, millrace.ErrConflict) {
			return millrace.Record{}, fmt.Errorf("cancel task %s: %w", id, err)
		}
	}
}

func (s *Store) cancel(ctx context.Context, f Found) (millrace.Record, error) {
	r := f.Record
	r.Lost = r.Died()
	r.State, r.NextAt, r.Parked = millrace.Cancelled, time.Time{}, 0
	r.Replacement = nil
	r.FinishedAt = time.Now().UTC()
	r.ExpiresAt = r.FinishedAt.Add(time.Duration(millrace.DefaultResultTTL))
	data, err := encode(r)
	if err != nil {
		return r, err
	}
	msg := newMessage(recordSubject(r.ID), data, f.Revision)
	// If nobody removes what waits, this must be there when its time comes.
	kept := max(time.Duration(millrace.DefaultResultTTL), min(time.Until(f.Record.NextAt), time.Duration(millrace.MaxResultTTL)))
	expireAfter(msg, kept+forgetAfter)
	_, err = s.results.store(ctx, msg)
	return r, err
}

// withdraw removes what is left of a cancelled task and tells the worker that may
// have it.
func (s *Store) withdraw(ctx context.Context, r millrace.Record, was Found) {
	stream := scheduleStream(shardOf(r.ID))
	err := errors.Join(
		s.nc.Publish(cancelSubject+r.ID, nil),
		s.purge(ctx, stream, waitingFilter(r.ID)),
		s.purge(ctx, stream, timerSubject(r.ID)),
		s.removeTaken(ctx, stream, dueSubject(r.ID)),
		s.withdrawLogged(ctx, r, was),
		s.withdrawDead(ctx, r),
	)
	if err != nil {
		s.log.Warn("what is left of a cancelled task could not be removed; it will be skipped", "task", r.ID, "error", err)
	}
}

// withdrawLogged removes a cancelled task from its queue's log, and from the lines of its
// limits. One that may be running counts in those until its handler has returned: its
// worker takes it out then, and if that has died, the sweep does.
func (s *Store) withdrawLogged(ctx context.Context, r millrace.Record, was Found) error {
	places, err := s.inLine(ctx, r.ID)
	if err != nil {
		return err
	}
	subject := taskSubject(r.Queue, r.Kind, r.ID)
	if len(places) == 0 {
		return s.removeTaken(ctx, taskStream(r.Queue), subject)
	}
	logged, err := s.lastBy(ctx, taskStream(r.Queue), subject)
	if err == nil {
		err = s.removeTaken(ctx, taskStream(r.Queue), subject)
	}
	if err != nil || was.Record.State == millrace.Running {
		return err
	}
	// Who runs a task that has a record has said so in it. Of any other it is known now
	// whether a worker was given it, and that none will be.
	if was.Revision == 0 && len(logged) > 0 {
		delivered, err := s.deliveredUpTo(ctx, r.Queue)
		if err != nil || logged[0].seq <= delivered {
			return err
		}
	}
	passes := make([]millrace.Pass, len(places))
	for i, p := range places {
		passes[i] = millrace.Pass{Limit: p.limit, Sequence: p.seq}
	}
	return s.giveBack(ctx, r.ID, passes)
}

const cancelSubject = "millrace.cancel."

// Cancellations calls told with the id of every task that is cancelled from now on,
// until stop is called. Word can get lost with a connection.
func (s *Store) Cancellations(told func(id string)) (stop func() error, err error) {
	sub, err := s.nc.Subscribe(cancelSubject+"*", func(m *nats.Msg) {
		told(strings.TrimPrefix(m.Subject, cancelSubject))
	})
	if err != nil {
		return nil, fmt.Errorf("listen for cancellations: %w", publishError(err))
	}
	return sub.Unsubscribe, nil
}
