package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// attachRecords looks up what was written of each task, in one request. Every
// delivery goes through here before a handler sees it: a task that is finished
// may come again, since acknowledgements are not waited for.
func (s *Store) attachRecords(ctx context.Context, deliveries []*Delivery) error {
	subjects := make([]string, len(deliveries))
	for i, d := range deliveries {
		subjects[i] = recordSubject(d.Task.ID)
	}
	found, err := s.lastBy(ctx, bucketStream(resultsBucket), subjects...)
	if err != nil {
		return err
	}
	records := make(map[string]stored, len(found))
	for _, st := range found {
		records[st.subject] = st
	}
	for i, d := range deliveries {
		if st, ok := records[subjects[i]]; ok {
			d.attach(st)
			d.endPause()
		}
	}
	return nil
}

// attach takes over what was written of the task. What cannot be read, or is of
// another task that has the same id, ends this task where somebody sees it: among
// the dead. Neither may stop the tasks beside it.
func (d *Delivery) attach(st stored) {
	r, err := parseRecord(st)
	switch {
	case err != nil:
		d.Malformed, d.revision = err, st.seq
	case r.Queue != d.Task.Queue || r.Kind != d.Task.Kind:
		d.misfiled(fmt.Errorf("the id %s belongs to another task, of the kind %s in the queue %s", d.Task.ID, r.Kind, r.Queue))
	default:
		d.Record, d.revision = r, st.seq
		if r.NextAt.After(d.ready) {
			d.ready = r.NextAt
		}
		d.redrive()
		d.substitute()
	}
}

func parseRecord(st stored) (*millrace.Record, error) {
	var r millrace.Record
	if err := decode(st.data, &r); err != nil {
		return nil, fmt.Errorf("record %s: %w", st.subject, err)
	}
	// Names of what is removed are made from it: it must not be about another task,
	// or about "*".
	if recordSubject(r.ID) != st.subject {
		return nil, fmt.Errorf("record %s is about the task %.64q", st.subject, r.ID)
	}
	return &r, nil
}

// Note writes what is known of an unfinished task, for example that it runs, or
// that it waits to be tried again. It returns [millrace.ErrConflict] if somebody
// else wrote since the delivery: then the task is not this worker's any more.
func (s *Store) Note(ctx context.Context, d *Delivery, r millrace.Record) error {
	return s.NoteAll(ctx, []Noted{{d, r}})[0]
}

// Noted is an unfinished task and its record.
type Noted struct {
	*Delivery
	Current millrace.Record
}

// NoteAll is Note for many, whose writes are made together. It returns an error, or
// nil, for each.
func (s *Store) NoteAll(ctx context.Context, all []Noted) []error {
	drafts := make([]draft, len(all))
	for i := range all {
		n := &all[i]
		n.Current.Parked = 0
		if n.CheckedOut() {
			n.Current.Parked = n.Sequence
		}
		drafts[i] = draft{n.Delivery, &n.Current, 0}
	}
	return s.writeAll(ctx, drafts)
}

// longRelease is the longest wait for which a task keeps its place with the
// consumer. What waits longer is parked, so that a storm of failures does not use
// up what the consumer may have under way.
const longRelease = 5 * time.Second

// Retry notes r and then hands the task back, to be delivered again after delay.
func (s *Store) Retry(ctx context.Context, d *Delivery, r millrace.Record, delay time.Duration) error {
	if delay > longRelease || d.CheckedOut() {
		if r.NextAt.IsZero() {
			r.NextAt = time.Now().UTC().Add(delay)
		}
		if r.NextAt.After(LastDue()) {
			r.NextAt = LastDue()
		}
		if d.CheckedOut() || s.canWait(d.waiting(r.NextAt)) {
			err := s.park(ctx, d, r, r.NextAt)
			if err == nil {
				s.tally.ended(d, &r)
			}
			return err
		}
	}
	if err := s.Note(ctx, d, r); err != nil {
		return err
	}
	s.tally.ended(d, &r)
	return d.Release(delay)
}

// Finished is a task that has come to its end.
type Finished struct {
	*Delivery
	// Final is its record, which is to be shown for TTL.
	Final millrace.Record
	TTL   time.Duration
}

// Finish writes the final record and takes the task off its queue. A failed task
// is kept among the dead first. If somebody else has finished it meanwhile, their
// record stands, this one is dropped, and the error is [millrace.ErrConflict].
func (s *Store) Finish(ctx context.Context, d *Delivery, r millrace.Record, ttl time.Duration) error {
	f := &Finished{d, r, ttl}
	f.complete()
	if r.State == millrace.Failed {
		if err := s.bury(ctx, []Finished{*f})[0]; err != nil {
			return err
		}
	}
	return s.finished(ctx, f, s.write(ctx, draft{d, &f.Final, f.TTL + forgetAfter}))
}

// FinishAll is Finish for many, whose writes are made together. It returns an error,
// or nil, for each.
func (s *Store) FinishAll(ctx context.Context, all []Finished) []error {
	for i := range all {
		all[i].complete()
	}
	errs := s.bury(ctx, all)
	drafts, written := make([]draft, 0, len(all)), make([]int, 0, len(all))
	for i := range all {
		if errs[i] == nil {
			drafts, written = append(drafts, draft{all[i].Delivery, &all[i].Final, all[i].TTL + forgetAfter}), append(written, i)
		}
	}
	var limited []int
	for j, err := range s.writeAll(ctx, drafts) {
		i := written[j]
		if errs[i] = err; err == nil && len(all[i].Task.Passes) > 0 {
			limited = append(limited, i)
		} else {
			errs[i] = s.finished(ctx, &all[i], err)
		}
	}
	each(limited, func(i int) { errs[i] = s.finished(ctx, &all[i], nil) })
	return errs
}

// complete adds what every final record has.
func (f *Finished) complete() {
	if f.Final.FinishedAt.IsZero() {
		f.Final.FinishedAt = time.Now().UTC()
	}
	f.TTL = max(f.TTL, time.Second)
	f.Final.Redrives = f.Task.Redrives
	f.Final.ExpiresAt, f.Final.Parked = f.Final.FinishedAt.Add(f.TTL), 0
	f.Final.Replacement = nil // those that have failed are among the dead with it
}

// finished lets go of a task whose final record has been written, or has not.
func (s *Store) finished(ctx context.Context, f *Finished, err error) error {
	switch {
	case errors.Is(err, millrace.ErrConflict) && f.Final.State == millrace.Failed:
		return errors.Join(err, s.unbury(ctx, f.Final))
	case err != nil:
		return err
	}
	s.tally.ended(f.Delivery, &f.Final)
	return s.Settle(ctx, f.Delivery)
}

// Settle lets go of a task whose final record is written: it counts in no limit any more,
// and does not come again.
func (s *Store) Settle(ctx context.Context, d *Delivery) error {
	if err := s.done(ctx, d.Task); err != nil {
		return err
	}
	if err := s.risen(ctx, d); err != nil {
		return err
	}
	if d.CheckedOut() {
		return s.giveUpLease(ctx, d)
	}
	return d.Ack()
}

// forgetAfter is how much longer than it is shown a final record is kept: its last
// second is not the moment to forget that the task was done. It is
// also what keeps a task from being done again, when its acknowledgement was lost,
// or when a worker wakes up that was frozen with it.
const forgetAfter = time.Hour

// Dead is a task that failed for good, as it is kept in the stream DEAD.
type Dead struct {
	Task   millrace.RawTask `json:"task"`
	Record millrace.Record  `json:"record"`
	// Body is the message as it came, if it was no task.
	Body []byte `json:"body,omitempty"`
	// Truncated means that the args or the body did not fit: the queue's log has
	// them, for as long as it remembers the task.
	Truncated bool `json:"truncated,omitzero"`
}

// bury keeps those that failed among the dead. Doing it twice keeps them once.
func (s *Store) bury(ctx context.Context, all []Finished) []error {
	errs := make([]error, len(all))
	var msgs []*nats.Msg
	var buried []int
	for i, f := range all {
		if f.Final.State != millrace.Failed {
			continue
		}
		msg, err := s.deadMessage(f)
		if err != nil {
			errs[i] = fmt.Errorf("%w: dead task %s: %w", millrace.ErrInvalid, f.Final.ID, err)
			continue
		}
		msgs, buried = append(msgs, msg), append(buried, i)
	}
	if len(msgs) == 0 {
		return errs
	}
	for j, v := range s.dead.storeAll(ctx, msgs) {
		if v.err != nil {
			errs[buried[j]] = fmt.Errorf("keep dead task %s: %w", all[buried[j]].Final.ID, v.err)
		}
	}
	return errs
}

func (s *Store) deadMessage(f Finished) (*nats.Msg, error) {
	r := f.Final
	dead := Dead{Task: f.Task, Record: r}
	if f.Malformed != nil {
		dead.Body = f.body
		dead.Task.Args = nil
	}
	data, err := encode(dead)
	if err == nil && int64(len(data)) > s.nc.MaxPayload()-maxHeaders {
		// The log still has what does not fit beside the record.
		dead.Task.Args, dead.Body, dead.Truncated = nil, nil, true
		data, err = encode(dead)
	}
	return newMessage(deadSubject(r.Queue, r.Kind, r.ID), data, anyRevision), err
}

// unbury takes a task out again that was not to be buried: somebody else finished
// it, and not as failed.
func (s *Store) unbury(ctx context.Context, r millrace.Record) error {
	f, ok, err := s.lookupRecord(ctx, r.ID)
	if err != nil || !ok || !f.Record.State.Final() || f.Record.State == millrace.Failed {
		return err
	}
	return s.purge(ctx, deadStream, deadSubject(r.Queue, r.Kind, r.ID))
}
