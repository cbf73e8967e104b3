package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Due is something whose time has come: a task, to be moved into its queue's log,
// or a named schedule. It must end in [Store.Move], or in Ack or Release.
type Due struct {
	receipt
	// At is when its time came.
	At time.Time
	// Task is what waited, unless Fired is set.
	Task millrace.RawTask
	// Fired names a schedule instead.
	Fired *Fired

	sequence uint64 // in the log
}

// DuePuller asks for what is due. It is not for several goroutines at once. Close
// it when done.
type DuePuller struct{ *pull }

// Shards is how many streams share what waits: pull from each.
func (s *Store) Shards() int { return scheduleStreams }

// PullDue returns a puller for what is due in one shard.
func (s *Store) PullDue(shard int) (*DuePuller, error) {
	p, err := s.pullFrom(scheduleStream(shard), moversName, scheduleStream(shard))
	if err != nil {
		return nil, err
	}
	return &DuePuller{p}, nil
}

// Next returns up to room things that are due, waiting a second or so for the
// first. None and no error means that nothing is. What is no task of ours is
// logged and dropped: there is nobody whom it could be given to.
func (p *DuePuller) Next(ctx context.Context, room int) ([]*Due, error) {
	msgs, err := p.next(ctx, room)
	if err != nil {
		return nil, err
	}
	var out []*Due
	for _, m := range msgs {
		d, err := parseDue(m)
		if err != nil {
			p.store.log.Error("dropped what was due, since it cannot be read", "subject", m.Subject, "error", err)
			err = receipt{p.store.nc, m.Reply}.Ack()
		} else {
			d.receipt = receipt{p.store.nc, m.Reply}
			out = append(out, d)
		}
		if err != nil {
			p.store.log.Warn("cannot acknowledge what was due", "subject", m.Subject, "error", err)
		}
	}
	return out, nil
}

// Restore creates the shard's consumer if it is missing. Call it when Next fails.
func (p *DuePuller) Restore(ctx context.Context) error {
	for shard := range scheduleStreams {
		if err := ensureMovers(ctx, p.store.js, shard); err != nil {
			return err
		}
	}
	return nil
}

func parseDue(m *nats.Msg) (*Due, error) {
	if isFired(m.Subject) {
		var f Fired
		if err := decode(m.Data, &f); err != nil {
			return nil, err
		}
		if err := millrace.ValidateScheduleName(f.Name); err != nil {
			return nil, err
		}
		if m.Subject != firedSubject(f.Name) {
			return nil, fmt.Errorf("it is of the schedule %s, which belongs elsewhere", f.Name)
		}
		return &Due{Fired: &f, At: f.Due}, nil
	}
	var w waiting
	if err := decode(m.Data, &w); err != nil {
		return nil, err
	}
	for _, err := range []error{millrace.ValidateID(w.Task.ID), millrace.ValidateKind(w.Task.Kind), millrace.ValidateQueue(w.Task.Queue)} {
		if err != nil {
			return nil, err
		}
	}
	if m.Subject != dueSubject(w.Task.ID) {
		return nil, fmt.Errorf("it is the task %s, which belongs elsewhere", w.Task.ID)
	}
	return &Due{Task: w.Task, At: w.Due, sequence: w.Sequence}, nil
}

// Move brings tasks that are due into their queues' logs, each once, however often
// it is due and whoever else is at it. Those that it cannot move now come again; the
// error is that of one of them, wrapping [millrace.ErrQueueFull] if its queue has no
// room.
func (s *Store) Move(ctx context.Context, due []*Due) error {
	byQueue := map[string][]*Due{}
	var failed error
	for _, d := range due {
		if err := s.CheckQueue(d.Task.Queue); err != nil {
			// Somebody else's configuration may have it.
			failed = errors.Join(fmt.Errorf("move task %s: %w", d.Task.ID, err), d.Release(moveAgain))
			continue
		}
		byQueue[d.Task.Queue] = append(byQueue[d.Task.Queue], d)
	}
	for queue, some := range byQueue {
		msgs := make([]*nats.Msg, len(some))
		for i, d := range some {
			msgs[i] = d.message()
		}
		for i, v := range s.tasks[queue].storeAll(ctx, msgs) {
			d, err := some[i], v.err
			if errors.Is(err, millrace.ErrConflict) {
				err = s.moveElsewhere(ctx, d)
			}
			if err == nil {
				err = d.Ack()
			} else {
				err = errors.Join(fmt.Errorf("move task %s to queue %s: %w", d.Task.ID, queue, err), d.Release(moveAgain))
			}
			if err != nil {
				failed = err
			}
		}
	}
	return failed
}

// moveAgain is how soon it is tried again to move a task.
const moveAgain = time.Second

func (d *Due) message() *nats.Msg {
	data, err := encode(d.Task)
	if err != nil {
		panic(err) // it was decoded a moment ago
	}
	return newMessage(taskSubject(d.Task.Queue, d.Task.Kind, d.Task.ID), data, d.sequence)
}

// moveElsewhere is for a task whose place in the log is not as it was left: it was
// moved before, or the log was trimmed past it. Both can be true, when a scheduler
// wakes up that was frozen with it. Then its record has gone on.
func (s *Store) moveElsewhere(ctx context.Context, d *Due) error {
	if d.sequence == 0 {
		return nil // it is in the log already
	}
	found, err := s.lastBy(ctx, taskStream(d.Task.Queue), taskSubject(d.Task.Queue, d.Task.Kind, d.Task.ID))
	if err != nil || len(found) > 0 {
		return err
	}
	f, ok, err := s.lookupRecord(ctx, d.Task.ID)
	switch {
	case errors.Is(err, millrace.ErrGone), ok && (f.Record.State.Final() || f.Record.Parked != d.sequence):
		return nil
	case err != nil:
		return err
	}
	anew := *d
	anew.sequence = 0
	_, err = s.tasks[d.Task.Queue].store(ctx, anew.message())
	if errors.Is(err, millrace.ErrConflict) {
		return nil
	}
	return err
}
