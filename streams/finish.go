package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	r.Parked = 0
	if d.CheckedOut() {
		r.Parked = d.Sequence
	}
	return s.putRecord(ctx, d, r, 0)
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
			return s.park(ctx, d, r, r.NextAt)
		}
	}
	if err := s.Note(ctx, d, r); err != nil {
		return err
	}
	return d.Release(delay)
}

// Finish writes the final record and takes the task off its queue. A failed task
// is kept among the dead first. If somebody else has finished it meanwhile, their
// record stands, this one is dropped, and the error is [millrace.ErrConflict].
func (s *Store) Finish(ctx context.Context, d *Delivery, r millrace.Record, ttl time.Duration) error {
	if r.FinishedAt.IsZero() {
		r.FinishedAt = time.Now().UTC()
	}
	ttl = max(ttl, time.Second)
	r.ExpiresAt, r.Parked = r.FinishedAt.Add(ttl), 0
	if r.State == millrace.Failed {
		if err := s.bury(ctx, d, r); err != nil {
			return err
		}
	}
	// Its last second is not the moment to forget that the task was done.
	err := s.putRecord(ctx, d, r, ttl+forgetAfter)
	if errors.Is(err, millrace.ErrConflict) && r.State == millrace.Failed {
		return errors.Join(err, s.unbury(ctx, r))
	}
	if err != nil {
		return err
	}
	if d.CheckedOut() {
		return s.giveUpLease(ctx, d)
	}
	return d.Ack()
}

// forgetAfter is how much longer than it is shown a final record is kept: it is
// also what keeps a task from being done again, when its acknowledgement was lost,
// or when a worker wakes up that was frozen with it.
const forgetAfter = time.Hour

func (s *Store) putRecord(ctx context.Context, d *Delivery, r millrace.Record, ttl time.Duration) error {
	data, err := encode(r)
	if err != nil {
		return fmt.Errorf("%w: record of %s: %w", millrace.ErrInvalid, r.ID, err)
	}
	msg := newMessage(recordSubject(r.ID), data, d.revision)
	if ttl > 0 {
		expireAfter(msg, ttl)
	}
	seq, err := s.results.store(ctx, msg)
	if err != nil {
		return fmt.Errorf("record of %s: %w", r.ID, err)
	}
	d.Record, d.revision = &r, seq
	return nil
}

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

// bury keeps a failed task among the dead. Doing it twice keeps it once.
func (s *Store) bury(ctx context.Context, d *Delivery, r millrace.Record) error {
	dead := Dead{Task: d.Task, Record: r}
	if d.Malformed != nil {
		dead.Body = d.body
		dead.Task.Args = nil
	}
	data, err := encode(dead)
	if err != nil {
		return fmt.Errorf("%w: dead task %s: %w", millrace.ErrInvalid, r.ID, err)
	}
	if int64(len(data)) > s.nc.MaxPayload()-maxHeaders {
		// The log still has what does not fit beside the record.
		dead.Task.Args, dead.Body, dead.Truncated = nil, nil, true
		if data, err = encode(dead); err != nil {
			return fmt.Errorf("%w: dead task %s: %w", millrace.ErrInvalid, r.ID, err)
		}
	}
	if _, err := s.dead.store(ctx, newMessage(deadSubject(r.Queue, r.Kind, r.ID), data, anyRevision)); err != nil {
		return fmt.Errorf("keep dead task %s: %w", r.ID, err)
	}
	return nil
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
