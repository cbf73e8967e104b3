package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Due is something whose time has come: a task, which must end in [Store.Move], or
// a named schedule, which must end in [Due.Ack] or [Due.Release].
type Due struct {
	// At is when its time came.
	At time.Time
	// Task is what waited, unless Fired is set.
	Task millrace.RawTask
	// Fired names a schedule instead.
	Fired *Fired

	receipt          // unless it waited under its second
	delivered uint64 // how often it was, so
	second    *second
	written   uint64 // its sequence there
	sequence  uint64 // in the log, before it waited
	paused    bool   // it waited since its kind was paused
	early     bool   // its second has not come, but its kind is resumed
}

// DuePuller asks for what is due. It is not for several goroutines at once. Close
// it when done.
type DuePuller struct {
	// Page is how many tasks Next returns at most of those that waited for the same
	// second. Zero means as many as there is room for.
	Page int

	*pull
	shard    int
	arrivals []arrival // that have come, and of which not all is handed out
}

// arrival is what becomes due together: a second, or what a pause has put off.
type arrival interface {
	take(ctx context.Context, room int) ([]*Due, error)
	leave(ctx context.Context) error
}

// Shards is how many streams share what waits: pull from each.
func (s *Store) Shards() int { return scheduleStreams }

// PullDue returns a puller for what is due in one shard.
func (s *Store) PullDue(shard int) (*DuePuller, error) {
	p, err := s.pullFrom(scheduleStream(shard), moversName, scheduleStream(shard))
	if err != nil {
		return nil, err
	}
	return &DuePuller{pull: p, shard: shard}, nil
}

// Next returns up to room things that are due, waiting a second or so for the
// first. None and no error means that nothing is. What is no task of ours is
// logged and dropped: there is nobody whom it could be given to.
func (p *DuePuller) Next(ctx context.Context, room int) ([]*Due, error) {
	room = min(room, maxBatch)
	var msgs []*nats.Msg
	var err error
	if len(p.arrivals) > 0 {
		msgs, err = p.poll(room)
	} else {
		msgs, err = p.next(ctx, room)
	}
	if err != nil {
		return nil, err
	}
	out := p.read(msgs)
	if len(p.arrivals) == 0 {
		return out, nil
	}
	page := room
	if p.Page > 0 {
		page = min(p.Page, room)
	}
	some, err := p.arrivals[0].take(ctx, page)
	if err == nil && len(some) == 0 {
		err = p.arrivals[0].leave(ctx)
		p.arrivals = p.arrivals[1:]
	}
	if err != nil && len(out) > 0 { // it is asked for again, and what is here is not
		p.store.log.Warn("cannot get all that is due, trying again", "error", err)
		err = nil
	}
	return append(out, some...), err
}

// read takes the arrivals that have come out of msgs and returns the rest.
func (p *DuePuller) read(msgs []*nats.Msg) (out []*Due) {
	for _, m := range msgs {
		d, err := p.parse(m)
		switch {
		case err != nil:
			p.store.log.Error("dropped what was due, since it cannot be read", "subject", m.Subject, "error", err)
			err = receipt{p.store.nc, m.Reply}.Ack()
		case d != nil:
			out = append(out, d)
		}
		if err != nil {
			p.store.log.Warn("cannot acknowledge what was due", "subject", m.Subject, "error", err)
		}
	}
	return out
}

// Close ends the requests that stand and hands back what came for them, and what is
// not all handed out.
func (p *DuePuller) Close() error {
	var errs []error
	for _, b := range p.arrivals {
		errs = append(errs, b.leave(context.Background()))
	}
	return errors.Join(append(errs, p.pull.Close())...)
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

// parse reads what is due. An arrival is kept instead.
func (p *DuePuller) parse(m *nats.Msg) (*Due, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	r := receipt{p.store.nc, m.Reply}
	var d *Due
	switch stored := (stored{subject: m.Subject, data: m.Data}); {
	case strings.HasPrefix(m.Subject, "due."+strconv.Itoa(p.shard)+".second."):
		b, err := p.parseSecond(stored)
		if err == nil {
			b.receipt, b.delivered, b.rang = r, meta.NumDelivered, meta.Sequence.Stream
			p.arrivals = append(p.arrivals, b)
		}
		return nil, err
	case strings.HasPrefix(m.Subject, resumedPrefix(p.shard)):
		stored.seq = meta.Sequence.Stream
		b, err := p.store.newResumption(stored, p.shard, r, meta.NumDelivered)
		if err == nil {
			p.arrivals = append(p.arrivals, b)
		}
		return nil, err
	case isFired(m.Subject):
		d, err = parseFired(stored)
	default:
		d, err = parseTimer(stored)
	}
	if err == nil {
		d.receipt, d.delivered = r, meta.NumDelivered
	}
	return d, err
}

func (p *DuePuller) parseSecond(st stored) (*second, error) {
	var r rung
	if err := decode(st.data, &r); err != nil {
		return nil, err
	}
	at := time.Unix(r.Second, 0)
	if st.subject != rungSubject(p.shard, at) {
		return nil, fmt.Errorf("it is the second %d, which belongs elsewhere", r.Second)
	}
	return &second{store: p.store, shard: p.shard, at: at, mark: st.subject, look: look{drawers: allDrawers}, full: map[string]bool{}}, nil
}

func parseFired(st stored) (*Due, error) {
	var f Fired
	if err := decode(st.data, &f); err != nil {
		return nil, err
	}
	if err := millrace.ValidateScheduleName(f.Name); err != nil {
		return nil, err
	}
	if st.subject != firedSubject(f.Name) {
		return nil, fmt.Errorf("it is of the schedule %s, which belongs elsewhere", f.Name)
	}
	return &Due{Fired: &f, At: f.Due}, nil
}

func parseTimer(st stored) (*Due, error) {
	d, err := parseDueTask(st)
	if err == nil && st.subject != dueSubject(d.Task.ID) {
		err = fmt.Errorf("it is the task %s, which belongs elsewhere", d.Task.ID)
	}
	return d, err
}

func parseWaiting(st stored) (*Due, error) {
	d, err := parseDueTask(st)
	if err == nil && st.subject != waitingSubject(d.Task.ID, ceilSecond(d.At)) {
		err = fmt.Errorf("it is the task %s, which belongs elsewhere", d.Task.ID)
	}
	return d, err
}

func parseDueTask(st stored) (*Due, error) {
	var w waiting
	if err := decode(st.data, &w); err != nil {
		return nil, err
	}
	for _, err := range []error{millrace.ValidateID(w.Task.ID), millrace.ValidateKind(w.Task.Kind), millrace.ValidateQueue(w.Task.Queue)} {
		if err != nil {
			return nil, err
		}
	}
	return &Due{Task: w.Task, At: w.Due, sequence: w.Sequence, written: st.seq, paused: w.Paused}, nil
}

// Move brings tasks that are due into their queues' logs, each once, however often
// it is due and whoever else is at it. Those that it cannot move now come again,
// later each time; the error is that of one of them, wrapping
// [millrace.ErrQueueFull] if its queue has no room.
func (s *Store) Move(ctx context.Context, due []*Due) error {
	byQueue := map[string][]*Due{}
	var failed error
	var moved []*Due
	for _, d := range due {
		if err := s.CheckQueue(d.Task.Queue); err != nil {
			// Somebody else's configuration may have it.
			failed = errors.Join(fmt.Errorf("move task %s: %w", d.Task.ID, err), d.putOff())
			continue
		}
		if d.second != nil && d.second.full[d.Task.Queue] {
			failed = fmt.Errorf("move task %s to queue %s: %w", d.Task.ID, d.Task.Queue, millrace.ErrQueueFull)
			continue
		}
		byQueue[d.Task.Queue] = append(byQueue[d.Task.Queue], d)
	}
	for queue, some := range byQueue {
		msgs := make([]*nats.Msg, len(some))
		for i, d := range some {
			msgs[i] = d.message()
		}
		for i, v := range s.logOf(queue).storeAll(ctx, msgs) {
			d, err := some[i], v.err
			if errors.Is(err, millrace.ErrConflict) {
				err = s.moveElsewhere(ctx, d)
			}
			if err == nil {
				moved = append(moved, d)
				s.DealtWith(d)
			} else {
				if d.second != nil && errors.Is(err, millrace.ErrQueueFull) {
					d.second.full[queue] = true
				}
				failed = errors.Join(fmt.Errorf("move task %s to queue %s: %w", d.Task.ID, queue, err), d.putOff())
			}
		}
	}
	if err := s.removeMoved(ctx, moved); err != nil {
		return err
	}
	return failed
}

// removeMoved takes what was moved out of where it waited.
func (s *Store) removeMoved(ctx context.Context, moved []*Due) (failed error) {
	bySecond := map[*second][]*Due{}
	var early []*Due
	for _, d := range moved {
		if d.early {
			early = append(early, d)
		} else if d.second != nil {
			bySecond[d.second] = append(bySecond[d.second], d)
		} else if err := d.Ack(); err != nil {
			failed = err
		}
	}
	for b, some := range bySecond {
		if err := b.done(ctx, some); err != nil {
			failed = err
		}
	}
	if err := s.removeEarly(ctx, early); err != nil {
		failed = err
	}
	return failed
}

// putOff lets a task that cannot be moved now come again. One that waited under its
// second does when that does, also if it was called before.
func (d *Due) putOff() error {
	if d.second != nil || d.early {
		return nil
	}
	return d.Release(moveAgain(d.delivered))
}

// moveAgain is how soon it is tried again to move what could not be: a queue that
// is full may stay so for long.
func moveAgain(delivered uint64) time.Duration {
	return time.Second << min(max(delivered, 1)-1, 5)
}

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
	_, err = s.logOf(d.Task.Queue).store(ctx, anew.message())
	if errors.Is(err, millrace.ErrConflict) {
		return nil
	}
	return err
}
