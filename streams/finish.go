package streams

import (
	"context"
	"encoding/json"
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
		st, ok := records[subjects[i]]
		if !ok {
			continue
		}
		if d.Record, err = parseRecord(st); err != nil {
			return err
		}
		d.revision = st.seq
	}
	return nil
}

func parseRecord(st stored) (*millrace.Record, error) {
	var r millrace.Record
	if err := json.Unmarshal(st.data, &r); err != nil {
		return nil, fmt.Errorf("record %s: %w", st.subject, err)
	}
	return &r, nil
}

// Note writes what is known of an unfinished task, for example that it runs, or
// that it waits to be tried again. It returns [millrace.ErrConflict] if somebody
// else wrote since the delivery: then the task is not this worker's any more.
func (s *Store) Note(ctx context.Context, d *Delivery, r millrace.Record) error {
	return s.putRecord(ctx, d, r, 0)
}

// Retry notes r and then hands the task back, to be delivered again after delay.
func (s *Store) Retry(ctx context.Context, d *Delivery, r millrace.Record, delay time.Duration) error {
	if err := s.Note(ctx, d, r); err != nil {
		return err
	}
	return d.Release(delay)
}

// Finish writes the final record and takes the task off its queue. A failed task
// is kept among the dead first. If somebody else has finished it meanwhile, their
// record stands, this one is dropped, and the error is [millrace.ErrConflict].
func (s *Store) Finish(ctx context.Context, d *Delivery, r millrace.Record, ttl time.Duration) error {
	r.ExpiresAt = r.FinishedAt.Add(ttl)
	if r.State == millrace.Failed {
		if err := s.bury(ctx, d, r); err != nil {
			return err
		}
	}
	if err := s.putRecord(ctx, d, r, ttl); err != nil {
		return err
	}
	return d.Ack()
}

func (s *Store) putRecord(ctx context.Context, d *Delivery, r millrace.Record, ttl time.Duration) error {
	data, err := json.Marshal(r)
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
}

// bury keeps a failed task among the dead. Doing it twice keeps it once.
func (s *Store) bury(ctx context.Context, d *Delivery, r millrace.Record) error {
	dead := Dead{Task: d.Task, Record: r}
	if d.Malformed != nil {
		dead.Body = d.body
		dead.Task.Args = nil
	}
	data, err := json.Marshal(dead)
	if err != nil {
		return fmt.Errorf("%w: dead task %s: %w", millrace.ErrInvalid, r.ID, err)
	}
	if _, err := s.dead.store(ctx, newMessage(deadSubject(r.Queue, r.Kind, r.ID), data, anyRevision)); err != nil {
		return fmt.Errorf("keep dead task %s: %w", r.ID, err)
	}
	return nil
}
