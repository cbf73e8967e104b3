package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"millrace"
)

// draft is a record that is to be written about a delivery. It is written only if
// nobody else has since.
//
// A write that got no answer may have been stored, and then the next one finds a
// record that this worker wrote itself. It must not take that for somebody else's, or
// the task would be run once more. So each record carries the name of the delivery of
// which it is, which no other delivery has: what two workers write of a task that was
// lost can be the same to the letter.
type draft struct {
	*Delivery
	record *millrace.Record
	ttl    time.Duration // zero for that of the bucket
}

// deliveryHeader names the delivery that a record is of.
const deliveryHeader = "Millrace-Delivery"

// write writes a record. On [millrace.ErrConflict] somebody else has.
func (s *Store) write(ctx context.Context, d draft) error {
	msg, err := d.message()
	if err != nil {
		return err
	}
	seq, err := s.results.store(ctx, msg)
	return s.written(ctx, d, verdict{seq, err})
}

// writeAll writes many, together, and returns an error, or nil, for each.
func (s *Store) writeAll(ctx context.Context, all []draft) []error {
	errs := make([]error, len(all))
	msgs, sent := make([]*nats.Msg, 0, len(all)), make([]int, 0, len(all))
	for i, d := range all {
		msg, err := d.message()
		if err != nil {
			errs[i] = err
			continue
		}
		msgs, sent = append(msgs, msg), append(sent, i)
	}
	for j, v := range s.results.storeAll(ctx, msgs) {
		errs[sent[j]] = s.written(ctx, all[sent[j]], v)
	}
	return errs
}

// message is the record as it is stored, if nobody has written since the delivery.
func (d draft) message() (*nats.Msg, error) {
	d.record.Redrives = d.Task.Redrives
	data, err := encode(d.record)
	if err != nil {
		return nil, fmt.Errorf("%w: record of %s: %w", millrace.ErrInvalid, d.record.ID, err)
	}
	if d.name == "" {
		d.name = nuid.Next()
	}
	msg := newMessage(recordSubject(d.record.ID), data, d.revision)
	msg.Header.Set(deliveryHeader, d.name)
	switch {
	case d.ttl > 0:
		expireAfter(msg, d.ttl)
	case d.record.Replacement != nil:
		expireNever(msg)
	}
	return msg, nil
}

// written takes over what became of a write.
func (s *Store) written(ctx context.Context, d draft, v verdict) error {
	if errors.Is(v.err, millrace.ErrConflict) {
		v = s.writeOver(ctx, d, v)
	}
	if v.err != nil {
		return fmt.Errorf("record of %s: %w", d.record.ID, v.err)
	}
	d.Record, d.revision = d.record, v.seq
	return nil
}

// writeOver writes once more, if what is in the way is of the same delivery, or of who
// redrove the task that this delivery was the first to see; else it returns conflict. If that is final it stands, and is the record.
func (s *Store) writeOver(ctx context.Context, d draft, conflict verdict) verdict {
	found, err := s.lastOnLeader(ctx, bucketStream(resultsBucket), recordSubject(d.record.ID))
	if err != nil {
		return verdict{0, err}
	}
	if len(found) == 0 || found[0].by != d.name && (!d.redriven || found[0].by != byRedrive(d.Task)) {
		return conflict
	}
	own, err := parseRecord(found[0])
	switch {
	case err != nil:
		return verdict{0, err}
	case own.State.Final() && own.State == d.record.State:
		*d.record = *own
		return verdict{found[0].seq, nil}
	case own.State.Final():
		return conflict
	}
	d.revision = found[0].seq
	msg, err := d.message()
	if err != nil {
		return verdict{0, err}
	}
	seq, err := s.results.store(ctx, msg)
	return verdict{seq, err}
}
