package streams

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Delivery is a task that this process was given to carry out, with what is
// known of it. It must end in [Store.Finish], [Store.Retry] or [Delivery.Release],
// or its lease runs out and another worker gets it.
type Delivery struct {
	Task millrace.RawTask
	// Malformed says why the message is no task, or is nil. Then Task holds
	// only what its subject tells.
	Malformed error
	// Record is what was written of the task before, or nil.
	Record *millrace.Record
	// Delivered is how often the server has handed this task to anybody.
	Delivered uint64
	// Sequence is the task's place in its queue's log.
	Sequence uint64
	// Received is when the lease began.
	Received time.Time

	receipt
	revision uint64    // of Record; zero for none
	name     string    // under which it writes records, once it does
	ready    time.Time // since when it could be carried out
	lease    uint64    // revision of what waits while the task is checked out; else zero
	renewal  time.Time // of the lease, that got no answer
	redriven bool      // though what is written of the task does not say so yet
	body     []byte
}

func newDelivery(s *Store, queue string, m *nats.Msg) (*Delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("delivery from queue %s: %w", queue, err)
	}
	d := &Delivery{
		Delivered: meta.NumDelivered, Sequence: meta.Sequence.Stream, Received: time.Now(),
		receipt: receipt{s.nc, m.Reply}, body: m.Data, ready: meta.Timestamp,
	}
	d.Task, d.Malformed = parseTask(m.Subject, m.Data)
	if d.Task.ID == "" {
		d.Task.Queue, d.Task.Kind = queue, "malformed"
		d.misfiled(d.Malformed)
	}
	return d, nil
}

// misfiled gives what is no proper task an id of its own, so that it has a record
// and a place among the dead all the same.
func (d *Delivery) misfiled(why error) {
	d.Malformed = why
	d.Task.ID = fmt.Sprintf("malformed-%s-%d", d.Task.Queue, d.Sequence)
}

// parseTask reads a task as it lies in a log. The subject is what a task is filed
// under, so what it says goes, whatever the body claims.
func parseTask(subject string, body []byte) (millrace.RawTask, error) {
	var t millrace.RawTask
	err := decode(body, &t)
	if err != nil {
		err = fmt.Errorf("the message is no task: %w", err)
	}
	queue, kind, id, ok := parseTaskSubject(subject)
	if !ok {
		err = fmt.Errorf("the subject %q is no task's", subject)
		queue, kind, id = "", "", ""
	}
	t.Queue, t.Kind, t.ID = queue, kind, id
	return t, err
}

func parseTaskSubject(subject string) (queue, kind, id string, ok bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 4 || parts[0] != "tasks" {
		return "", "", "", false
	}
	queue, kind, id = parts[1], strings.ReplaceAll(parts[2], "-", "."), parts[3]
	ok = millrace.ValidateQueue(queue) == nil && millrace.ValidateKind(kind) == nil && millrace.ValidateID(id) == nil
	return queue, kind, id, ok
}

// Extend renews the leases of deliveries of one queue, and returns nil once the
// server took it: their consumer reads acknowledgements in the order they come,
// so the answer to the last one speaks for all. The leases then last
// [Store.AckWait] from when Extend was called.
func (s *Store) Extend(ctx context.Context, held []*Delivery) error {
	for i, d := range held {
		if i < len(held)-1 {
			if err := d.respond("+WPI"); err != nil {
				return err
			}
			continue
		}
		c, err := s.replies.send(&nats.Msg{Subject: d.reply, Data: []byte("+WPI")}, 1)
		if err != nil {
			return err
		}
		defer c.close()
		m, err := c.answer(ctx)
		if err != nil {
			return fmt.Errorf("extend leases: %w", err)
		}
		if m.Header.Get("Status") == "503" {
			return fmt.Errorf("%w: extend leases: nobody keeps them any more", millrace.ErrUnavailable)
		}
	}
	return nil
}
