package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// A task that waits for its time is a message that the server itself publishes
// again, under another subject, when the time has come (ADR-51 of the NATS
// architecture records). So it waits without a worker, without a place among the
// consumer's pending, and without a process of ours:
//
//	submitted for later     schedules ─► due ─► log
//	parked for a retry      log ─► schedules ─► due ─► log
//	checked out             the same, except that the time is put off while its
//	                        worker lives: then it is the lease of the task
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
}

// SubmitAt submits a task for a time. Until then its state is scheduled. A time
// that is not in the future means now. The id is taken once, as by [Store.Submit],
// and so are the errors.
func (s *Store) SubmitAt(ctx context.Context, task millrace.RawTask, at time.Time) error {
	if !at.After(time.Now()) {
		return s.Submit(ctx, task)
	}
	if task.Queue == "" {
		task.Queue = s.Route(task.Kind)
	}
	if len(task.Args) == 0 {
		task.Args = nil // empty args are none
	}
	if _, err := s.taskMessage(task); err != nil {
		return err
	}
	if _, err := s.wait(ctx, waiting{Task: task, Due: at.UTC()}, 0); err != nil {
		return fmt.Errorf("submit for later: %w", err)
	}
	return nil
}

// wait lets a task wait, if what waits of it has that revision, and returns the
// new one.
func (s *Store) wait(ctx context.Context, w waiting, revision uint64) (uint64, error) {
	return s.schedule(ctx, w.Task.ID, waitingSubject(w.Task.ID), dueSubject(w.Task.ID), w.Due, w, revision)
}

func (s *Store) schedule(ctx context.Context, id, subject, target string, due time.Time, body any, revision uint64) (uint64, error) {
	msg, err := scheduled(id, subject, target, due, body, revision)
	if err != nil {
		return 0, err
	}
	return s.waiting[shardOf(id)].store(ctx, msg)
}

// LastDue is the latest time that anything can wait for. The server counts the
// nanoseconds since 1970 in 63 bits, which end in April 2262: to it, what is due
// later was due long ago.
func LastDue() time.Time { return time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC) }

// scheduled makes a message that the server publishes again as target when it is due.
func scheduled(id, subject, target string, due time.Time, body any, revision uint64) (*nats.Msg, error) {
	if due.After(LastDue()) {
		return nil, fmt.Errorf("%w: %s is due after %s, which is as far as the broker counts", millrace.ErrInvalid, id, LastDue().Format(time.DateOnly))
	}
	data, err := encode(body)
	if err != nil {
		return nil, fmt.Errorf("%w: schedule %s: %w", millrace.ErrInvalid, id, err)
	}
	msg := newMessage(subject, data, revision)
	msg.Header.Set("Nats-Schedule", "@at "+ceilSecond(due).UTC().Format(time.RFC3339))
	msg.Header.Set("Nats-Schedule-Target", target)
	return msg, nil
}

// mayGrow is how much longer a waiting task can get: its due time has more or fewer
// digits, and so has the number of its attempts.
const mayGrow = 64

// canWait reports whether a task can wait outside its queue's log. One that is as
// large as the broker takes cannot, since what waits is larger by some words.
func (s *Store) canWait(w waiting) bool {
	msg, err := scheduled(w.Task.ID, waitingSubject(w.Task.ID), dueSubject(w.Task.ID), w.Due, w, anyRevision)
	return err == nil && int64(msg.Size())+mayGrow <= s.nc.MaxPayload()-maxHeaders
}

func ceilSecond(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// park notes r and takes the task off its queue until r.NextAt.
func (s *Store) park(ctx context.Context, d *Delivery, r millrace.Record) error {
	r.Parked = d.Sequence
	if err := s.putRecord(ctx, d, r, 0); err != nil {
		return err
	}
	revision := uint64(anyRevision)
	if d.CheckedOut() {
		revision = d.lease // what waits is its lease
	}
	if _, err := s.wait(ctx, d.waiting(r.NextAt), revision); err != nil {
		return fmt.Errorf("park task %s: %w", r.ID, err)
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
// somebody who died before the acknowledgement. They wait, or did; what may be
// missing is the message that waits.
func (s *Store) parkAgain(ctx context.Context, deliveries []*Delivery) []*Delivery {
	out := deliveries[:0]
	for _, d := range deliveries {
		if d.Malformed != nil || d.Record == nil || d.Record.State.Final() || d.Record.Parked != d.Sequence {
			out = append(out, d)
			continue
		}
		due := d.Record.NextAt
		if due.IsZero() {
			due = time.Now().Add(s.cfg.AckWait)
		}
		_, err := s.wait(ctx, d.waiting(due), 0)
		if err == nil || errors.Is(err, millrace.ErrConflict) {
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

// SweepWaiting removes what waits of tasks that are finished: those that were
// cancelled when nobody could be told, for example. It returns how many there were.
func (s *Store) SweepWaiting(ctx context.Context) (uint64, error) {
	removed := uint64(0)
	for shard := range scheduleStreams {
		var ids []string
		prefix := fmt.Sprintf("schedules.%d.task.", shard)
		err := s.scan(ctx, scheduleStream(shard), prefix+">", func(st stored) bool {
			// An id that is none was put there by hand. As a filter it could match others.
			if id := strings.TrimPrefix(st.subject, prefix); millrace.ValidateID(id) == nil {
				ids = append(ids, id)
			}
			return true
		})
		if err != nil {
			return removed, err
		}
		for some := range slices.Chunk(ids, maxPulled) {
			n, err := s.sweep(ctx, some)
			removed += n
			if err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

func (s *Store) sweep(ctx context.Context, ids []string) (uint64, error) {
	subjects := make([]string, len(ids))
	for i, id := range ids {
		subjects[i] = recordSubject(id)
	}
	found, err := s.lastBy(ctx, bucketStream(resultsBucket), subjects...)
	if err != nil {
		return 0, err
	}
	removed := uint64(0)
	for _, st := range found {
		// A record that cannot be read is told of when its task comes.
		if r, err := parseRecord(st); err == nil && r.State.Final() {
			if err := s.purge(ctx, scheduleStream(shardOf(r.ID)), waitingSubject(r.ID)); err != nil {
				return removed, err
			}
			removed++
		}
	}
	return removed, nil
}
