package streams

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"millrace"
)

// Redriving brings a dead task back, under its id and with its history:
//
//	log       its message is written again, saying how often it was redriven
//	record    failed ─► pending, with its attempts
//	DEAD      it is taken out
//
// The message decides. It is written by compare-and-set on the last one of that task in
// the log, which does not say so: of two who redrive at once one does, and who repeats
// it finds it done. Before that nothing has changed, and after it the task runs, whoever
// dies: a delivery that says that it was redriven more often than its failed record does
// is of a new life, and takes the record for its history. One that says less often is out
// of date.
//
// A record that has expired is put back first, still failed, as it is kept among the dead.

// Redrive puts a dead task back into its queue, under its id and with its attempts, and
// returns its record. Attempts are counted anew for max_attempts. Nil args leave the
// task's as they are. To repeat it is safe until the task has died again.
//
// Errors wrap [millrace.ErrNotFound] for a task that is not among the dead,
// [millrace.ErrInvalid] for one that has no args any more, or is none, or for args that
// are not JSON, or are too large; they are a [millrace.NotDeadError] for one that has
// succeeded, is cancelled or still on its way, wrap [millrace.ErrConflict] if somebody
// else has redriven it with other args, and else are those of [Store.Submit].
func (s *Store) Redrive(ctx context.Context, id string, args json.RawMessage) (millrace.Record, error) {
	d, err := s.findDead(ctx, id)
	if err != nil {
		return millrace.Record{}, err
	}
	r, err := s.redrive(ctx, d, args)
	if err != nil {
		return r, fmt.Errorf("redrive task %s: %w", id, err)
	}
	return r, nil
}

func (s *Store) redrive(ctx context.Context, d *DeadTask, args json.RawMessage) (millrace.Record, error) {
	if err := s.CheckQueue(d.Task.Queue); err != nil {
		return millrace.Record{}, err
	}
	if len(d.Body) > 0 {
		return millrace.Record{}, fmt.Errorf("%w: its message was no proper task: submit it anew, and discard this one", millrace.ErrInvalid)
	}
	for before := d.Record.Redrives; ; {
		logged, err := s.loggedTask(ctx, s.lastOnLeader, d.Record)
		if err != nil {
			return millrace.Record{}, err
		}
		task, err := s.taskAgain(d, logged, args)
		if err != nil {
			return d.Record, err
		}
		r, revision, err := s.buriedRecord(ctx, d, logged)
		if err != nil {
			return r, err
		}
		if r.Redrives > before && r.State == millrace.Failed {
			same, err := s.stillBuried(ctx, d)
			if err != nil {
				return r, err
			}
			if same { // a worker of the life before has buried it late
				before = r.Redrives
			}
		}
		if r.Redrives > before {
			return s.redrivenElsewhere(ctx, d, r, logged, args)
		}
		if r.State != millrace.Failed {
			return r, &millrace.NotDeadError{ID: r.ID, State: r.State}
		}
		if logged.task.Redrives > r.Redrives {
			if !logged.has(args) {
				return r, errOtherArgs
			}
		} else if err = s.logAgain(ctx, task, r, logged.seq); errors.Is(err, millrace.ErrConflict) {
			continue // somebody else did
		} else if err != nil {
			return r, err
		}
		return s.raise(ctx, d, r, revision)
	}
}

// stillBuried reports whether what lies among the dead is what was found there.
func (s *Store) stillBuried(ctx context.Context, d *DeadTask) (bool, error) {
	found, err := s.lastOnLeader(ctx, deadStream, d.subject)
	return len(found) > 0 && found[0].seq == d.sequence, err
}

// redrivenElsewhere is for a task that somebody else has redriven.
func (s *Store) redrivenElsewhere(ctx context.Context, d *DeadTask, r millrace.Record, logged loggedTask, args json.RawMessage) (millrace.Record, error) {
	if err := s.deleteMessage(ctx, deadStream, d.sequence); err != nil {
		return r, err
	}
	if !logged.has(args) {
		return r, errOtherArgs
	}
	return r, nil
}

var errOtherArgs = fmt.Errorf("%w: somebody else has redriven it meanwhile, with other args", millrace.ErrConflict)

// loggedTask is what a queue's log has of a task.
type loggedTask struct {
	ok   bool // there is something, and it is a task
	task millrace.RawTask
	seq  uint64 // zero if there is nothing
}

// has reports whether the task has those args, nil for any.
func (l loggedTask) has(args json.RawMessage) bool {
	return args == nil || bytes.Equal(compact(args), compact(l.task.Args))
}

func compact(args json.RawMessage) []byte {
	var out bytes.Buffer
	if json.Compact(&out, args) != nil {
		return args
	}
	return out.Bytes()
}

func (s *Store) loggedTask(ctx context.Context, read reader, r millrace.Record) (loggedTask, error) {
	found, err := read(ctx, taskStream(r.Queue), taskSubject(r.Queue, r.Kind, r.ID))
	if err != nil || len(found) == 0 {
		return loggedTask{}, err
	}
	task, malformed := parseTask(found[0].subject, found[0].data)
	return loggedTask{malformed == nil, task, found[0].seq}, nil
}

// buriedRecord is the record of a dead task, and its revision. One that has expired is
// put back as it is kept among the dead, unless the task has been redriven since.
func (s *Store) buriedRecord(ctx context.Context, d *DeadTask, logged loggedTask) (millrace.Record, uint64, error) {
	found, err := s.lastOnLeader(ctx, bucketStream(resultsBucket), recordSubject(d.Task.ID))
	if err != nil {
		return d.Record, 0, err
	}
	if len(found) > 0 {
		r, err := parseRecord(found[0])
		switch {
		case err != nil:
			return d.Record, 0, err
		case r.Queue != d.Task.Queue || r.Kind != d.Task.Kind:
			return *r, 0, fmt.Errorf("%w: the id belongs to another task, of the kind %s in the queue %s", millrace.ErrConflict, r.Kind, r.Queue)
		}
		return *r, found[0].seq, nil
	}
	if logged.task.Redrives > d.Record.Redrives {
		// It is on its way, or was: what is left here is of who died before it was removed.
		err := s.deleteMessage(ctx, deadStream, d.sequence)
		if err == nil {
			err = fmt.Errorf("it was redriven before, and its record has expired: %w", millrace.ErrGone)
		}
		return d.Record, 0, err
	}
	data, err := encode(d.Record)
	if err != nil {
		return d.Record, 0, err
	}
	msg := newMessage(recordSubject(d.Task.ID), data, 0)
	expireAfter(msg, forgetAfter)
	revision, err := s.results.store(ctx, msg)
	if errors.Is(err, millrace.ErrConflict) { // somebody else has
		return s.buriedRecord(ctx, d, logged)
	}
	return d.Record, revision, err
}

// taskAgain is the task as it is to run again. What is wrong with it is known before
// anything is written.
func (s *Store) taskAgain(d *DeadTask, logged loggedTask, args json.RawMessage) (millrace.RawTask, error) {
	again := *d
	again.complete(logged)
	task := again.Task
	switch {
	case args != nil:
		task.Args = args
	case again.ArgsGone:
		return task, fmt.Errorf("%w: its args are not kept any more: give it new ones", millrace.ErrInvalid)
	}
	task.Passes = nil
	msg, err := s.taskMessage(task)
	if err == nil && int64(msg.Size())+mayGrow > s.nc.MaxPayload()-maxHeaders {
		err = errTooLarge
	}
	return task, err
}

// logAgain writes the task's message again, over what lies there.
func (s *Store) logAgain(ctx context.Context, task millrace.RawTask, r millrace.Record, over uint64) error {
	task.Tried = max(task.Tried, len(r.Attempts))
	task.Redrives, task.Spent = r.Redrives+1, task.Tried
	msg, err := s.taskMessage(task)
	if err != nil {
		return err
	}
	msg.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(over, 10))
	_, err = s.logOf(task.Queue).store(ctx, msg)
	return err
}

// raise says in the record of a task that is back in its log that it is pending, unless
// its worker was faster, and takes it out of the dead.
func (s *Store) raise(ctx context.Context, d *DeadTask, r millrace.Record, revision uint64) (millrace.Record, error) {
	r = risenRecord(r, r.Redrives+1)
	data, err := encode(r)
	if err != nil {
		return r, err
	}
	msg := newMessage(recordSubject(r.ID), data, revision)
	msg.Header.Set(deliveryHeader, byRedrive(millrace.RawTask{Redrives: r.Redrives}))
	if _, err := s.results.store(ctx, msg); err != nil && !errors.Is(err, millrace.ErrConflict) {
		return r, err
	}
	return r, s.deleteMessage(ctx, deadStream, d.sequence)
}

// risenRecord is the record of a failed task that starts again.
func risenRecord(r millrace.Record, redrives int) millrace.Record {
	r.State, r.Redrives, r.Lost, r.Parked, r.HeldBy = millrace.Pending, redrives, 0, 0, ""
	r.Error, r.Progress = "", millrace.Progress{}
	r.NextAt, r.FinishedAt, r.ExpiresAt = time.Time{}, time.Time{}, time.Time{}
	return r
}

// byRedrive is in the place of the delivery's name in the record of who redrove a task.
func byRedrive(t millrace.RawTask) string { return "redrive-" + strconv.Itoa(t.Redrives) }

// redrive takes the record of a task that has failed before it was redriven for its
// history. Whoever redrove it is about to write the same.
func (d *Delivery) redrive() {
	if d.Record.State == millrace.Failed && d.Task.Redrives > d.Record.Redrives {
		r := risenRecord(*d.Record, d.Task.Redrives)
		d.Record, d.redriven = &r, true
	}
}

// withoutOutdated takes out the deliveries of tasks that were redriven since.
func (s *Store) withoutOutdated(ctx context.Context, deliveries []*Delivery) []*Delivery {
	out := deliveries[:0]
	for _, d := range deliveries {
		if d.Malformed != nil || d.Record == nil || d.Record.Redrives <= d.Task.Redrives {
			out = append(out, d)
		} else if err := s.Settle(ctx, d); err != nil {
			s.log.Warn("cannot let go of a task that was redriven since", "task", d.Task.ID, "error", err)
		}
	}
	return out
}

// risen takes a task that was redriven, and has come to a good end, out of the dead, if
// whoever redrove it did not live to.
func (s *Store) risen(ctx context.Context, d *Delivery) error {
	if d.Task.Redrives == 0 || d.Record == nil || !d.Record.State.Final() || d.Record.State == millrace.Failed {
		return nil
	}
	return s.purge(ctx, deadStream, deadSubject(d.Task.Queue, d.Task.Kind, d.Task.ID))
}

// withdrawDead does the same for a task that was cancelled.
func (s *Store) withdrawDead(ctx context.Context, r millrace.Record) error {
	if r.Redrives == 0 {
		return nil
	}
	return s.purge(ctx, deadStream, deadSubject(r.Queue, r.Kind, r.ID))
}
