package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// A task that comes under a limit stands in its line, a message in the stream HELD,
// before it gets into its queue's log, and stays there until it is done: the first of
// the line, as many as the limit lets, are past it. So who is past it is no more than
// what lies there in which order, and nobody has to keep count:
//
//	submitted      line of its key ─► line of its kind ─► line of its queue ─► log
//	under a limit that it has not come past, when a worker gets it
//	               log ─► line ─► log
//	done           final record; out of its lines; the next of each goes on; ack
//
// Each step writes the next place before it leaves the last one, and may be done twice,
// by anybody: a task gets into a line, and into the log, only if it is not there.
// Where a process died in between, the same delivery comes again, or SweepHeld finds it.
//
// A task that waits to be tried again for long stays in the line of its key, since those
// behind it must not overtake it. It leaves the others, and joins them again.
type held struct {
	Task millrace.RawTask `json:"task"`
	// Sequence is the place in its queue's log that it was taken from, zero if it was
	// never there.
	Sequence uint64 `json:"sequence,omitzero"`
}

// How long it takes until a place in a line that was left is free for another message,
// and how much larger a task may get on its way: it carries what it has come past.
const (
	heldTTL   = time.Second
	mayGather = 2 << 10
)

// hold lets tasks that were never in a log join the lines of their limits. It returns
// an error, or nil, for each.
func (s *Store) hold(ctx context.Context, tasks []millrace.RawTask, in []string) []error {
	errs := s.notLogged(ctx, tasks)
	var msgs []*nats.Msg
	var sent []int
	for i, t := range tasks {
		if errs[i] != nil {
			continue
		}
		msg, err := s.heldMessage(in[i], held{Task: t}, 0)
		if err != nil {
			errs[i] = err
			continue
		}
		msgs, sent = append(msgs, msg), append(sent, i)
	}
	lines := map[string]bool{}
	for j, v := range s.held.storeAll(ctx, msgs) {
		if errs[sent[j]] = v.err; v.err == nil {
			lines[in[sent[j]]] = true
		}
	}
	// They are on disk, and go on in any case.
	if err := s.passAll(context.WithoutCancel(ctx), lines); err != nil {
		s.log.Warn("tasks that were held wait until the lines are looked at again", "error", err)
	}
	return errs
}

// notLogged is a conflict for each task that is in its queue's log, or was.
func (s *Store) notLogged(ctx context.Context, tasks []millrace.RawTask) []error {
	errs := make([]error, len(tasks))
	byQueue := map[string][]int{}
	for i, t := range tasks {
		byQueue[t.Queue] = append(byQueue[t.Queue], i)
	}
	for queue, indexes := range byQueue {
		for some := range slices.Chunk(indexes, maxBatch) {
			subjects := make([]string, len(some))
			for j, i := range some {
				subjects[j] = taskSubject(queue, tasks[i].Kind, tasks[i].ID)
			}
			found, err := s.lastBy(ctx, taskStream(queue), subjects...)
			for j, i := range some {
				if err != nil {
					errs[i] = err
				} else if slices.ContainsFunc(found, func(st stored) bool { return st.subject == subjects[j] }) {
					errs[i] = millrace.ErrConflict
				}
			}
		}
	}
	return errs
}

func (s *Store) heldMessage(limit string, h held, revision uint64) (*nats.Msg, error) {
	data, err := encode(h)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
	}
	msg := newMessage(heldSubject(limit, h.Task.ID), data, revision)
	if int64(msg.Size())+mayGather > s.nc.MaxPayload()-maxHeaders {
		return nil, errTooLarge
	}
	return msg, nil
}

// holdBack takes out of deliveries the tasks that have not come past a limit: they were
// in the log before it was set, or have waited since they were past it.
func (s *Store) holdBack(ctx context.Context, deliveries []*Delivery) []*Delivery {
	var back []*Delivery
	var lines []string
	out := slices.DeleteFunc(deliveries, func(d *Delivery) bool {
		if d.Malformed != nil || d.Record != nil && (d.Record.State.Final() || time.Until(d.Record.NextAt) > 0) {
			return false
		}
		limit := s.nextLimit(d.Task)
		if limit != "" {
			if _, err := s.heldMessage(limit, d.held(), anyRevision); err != nil {
				s.log.Warn("a task cannot be held back, and runs", "task", d.Task.ID, "limit", limit, "error", err)
				limit = ""
			}
		}
		if limit == "" {
			if d.Record != nil && d.Record.HeldBy != "" {
				r := *d.Record
				r.HeldBy = ""
				d.Record = &r
			}
			return false
		}
		back, lines = append(back, d), append(lines, limit)
		return true
	})
	if len(back) == 0 {
		return out
	}
	for i, err := range s.standInLine(ctx, back, lines) {
		if err == nil {
			continue
		}
		if err = errors.Join(err, back[i].Release(time.Second)); !errors.Is(err, millrace.ErrConflict) {
			s.log.Warn("cannot hold a task back yet", "task", back[i].Task.ID, "limit", lines[i], "error", err)
		}
	}
	return out
}

// held is the delivery's task as it stands in a line.
func (d *Delivery) held() held {
	w := d.waiting(time.Time{})
	return held{w.Task, w.Sequence}
}

// standInLine takes deliveries off their queue until the limits let them on.
func (s *Store) standInLine(ctx context.Context, deliveries []*Delivery, in []string) []error {
	drafts := make([]draft, len(deliveries))
	for i, d := range deliveries {
		r := millrace.Record{ID: d.Task.ID, Kind: d.Task.Kind, Queue: d.Task.Queue, Tags: d.Task.Tags, SubmittedAt: d.Task.SubmittedAt}
		if d.Record != nil {
			r = *d.Record
			r.Lost = r.Died()
		}
		r.State, r.NextAt, r.HeldBy, r.Parked = millrace.Pending, time.Time{}, in[i], d.Sequence
		r.Deliveries = max(r.Deliveries+1, int(d.Delivered))
		drafts[i] = draft{d, &r, 0}
	}
	errs := s.writeAll(ctx, drafts)
	var msgs []*nats.Msg
	var sent []int
	for i, d := range deliveries {
		if errs[i] != nil {
			continue
		}
		// It may be in there from before: then it goes to the end.
		var msg *nats.Msg
		if msg, errs[i] = s.heldMessage(in[i], d.held(), anyRevision); errs[i] == nil {
			msgs, sent = append(msgs, msg), append(sent, i)
		}
	}
	lines := map[string]bool{}
	for j, v := range s.held.storeAll(ctx, msgs) {
		if i := sent[j]; v.err != nil {
			errs[i] = v.err
		} else {
			lines[in[i]] = true
			errs[i] = deliveries[i].Ack()
		}
	}
	if err := s.passAll(ctx, lines); err != nil {
		s.log.Warn("tasks that were held back wait until the lines are looked at again", "error", err)
	}
	return errs
}

// holdAgain sees to it that a task from this place in its log stands in a line.
func (s *Store) holdAgain(ctx context.Context, d *Delivery) error {
	limit := d.Record.HeldBy
	places, err := s.inLine(ctx, d.Task.ID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(places, func(p place) bool { return p.limit == limit && p.Sequence == d.Sequence }) {
		msg, err := s.heldMessage(limit, d.held(), anyRevision)
		if err != nil {
			return err
		}
		if _, err := s.held.store(ctx, msg); err != nil {
			return err
		}
	}
	return s.pass(ctx, limit)
}

// lookupHeld finds a task that stands in a line, and may be past it.
func (s *Store) lookupHeld(ctx context.Context, id string) (Found, bool, error) {
	found, err := s.inLine(ctx, id)
	if err != nil || len(found) == 0 {
		return Found{}, false, err
	}
	latest := found[len(found)-1]
	return Found{Record: latest.record(), Version: fmt.Sprintf("held%d", latest.seq)}, true, nil
}

// place is a task's place in a line.
type place struct {
	held
	limit string
	seq   uint64
}

// record is what there is to say of a task that stands in a line and has none.
func (p place) record() millrace.Record {
	t := p.Task
	return millrace.Record{
		ID: t.ID, Kind: t.Kind, Queue: t.Queue, State: millrace.Pending, Tags: t.Tags, SubmittedAt: t.SubmittedAt, HeldBy: p.limit, Redrives: t.Redrives,
	}
}

// inLine returns the places of a task, the last one last.
func (s *Store) inLine(ctx context.Context, id string) ([]place, error) {
	found, err := s.lastBy(ctx, heldStream, heldSubject("*", id))
	if err != nil {
		return nil, err
	}
	var all []place
	for _, st := range found {
		if p, ok := parsePlace(st); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// parsePlace reads a place in a line. It is none if it was left, or cannot be read.
func parsePlace(st stored) (place, bool) {
	limit, id, ok := parseHeldSubject(st.subject)
	if !ok || len(st.data) == 0 {
		return place{}, false
	}
	p := place{limit: limit, seq: st.seq}
	if err := decode(st.data, &p.held); err != nil {
		return place{}, false
	}
	p.Task.ID = id
	for _, err := range []error{millrace.ValidateID(id), millrace.ValidateKind(p.Task.Kind), millrace.ValidateQueue(p.Task.Queue)} {
		if err != nil {
			return place{}, false
		}
	}
	return p, true
}
