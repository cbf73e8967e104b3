package streams_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// unheard does something of which the answer comes too late.
func unheard(t *testing.T, b *broker.Broker, do func() error) {
	t.Helper()
	b.Deafen()
	wantUnavailable(t, "unheard", do())
	b.Hear()
	time.Sleep(time.Second)
}

// What was written and got no answer is not in the way of what its worker writes next:
// that it is done, above all.
func TestRecordsWithoutAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Timeout: time.Second})
		p := pull(t, store, "default")
		said := func(d *streams.Delivery, done int) millrace.Record {
			r := recordOf(d, millrace.Running)
			r.Progress.Done = done
			return r
		}
		for name, end := range map[string]func(d *streams.Delivery) error{
			"noted": func(d *streams.Delivery) error { return store.Note(t.Context(), d, said(d, 3)) },
			"parked": func(d *streams.Delivery) error {
				return store.Retry(t.Context(), d, retrying(d, time.Time{}), time.Hour)
			},
			"succeeded": func(d *streams.Delivery) error {
				return store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour)
			},
			"failed": func(d *streams.Delivery) error {
				return store.Finish(t.Context(), d, recordOf(d, millrace.Failed), time.Hour)
			},
			"in a batch": func(d *streams.Delivery) error {
				return store.FinishAll(t.Context(), []streams.Finished{{Delivery: d, Final: recordOf(d, millrace.Succeeded), TTL: time.Hour}})[0]
			},
		} {
			submit(t, store, newTask(name[:2]))
			d := take(t, p, 1)[0]
			unheard(t, b, func() error { return store.Note(t.Context(), d, said(d, 1)) })
			unheard(t, b, func() error { return store.Note(t.Context(), d, said(d, 2)) })
			unheard(t, b, func() error { return end(d) })
			if err := end(d); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			f, err := store.Lookup(t.Context(), d.Task.ID)
			if err != nil || f.Record.State != d.Record.State || f.Record.Progress != d.Record.Progress || f.Record.Parked != d.Record.Parked || !f.Record.FinishedAt.Equal(d.Record.FinishedAt) {
				t.Errorf("%s: it is %+v, and its worker has %+v, %v", name, f.Record, d.Record, err)
			}
			if err := d.Ack(); err != nil {
				t.Error(err)
			}
		}
	})
}

// The records of a batch whose answer is lost are taken over as well.
func TestManyRecordsWithoutAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Timeout: time.Second})
		const n = 100
		fill(t, store, n)
		var marks []streams.Noted
		for _, d := range take(t, pull(t, store, "default"), n) {
			marks = append(marks, streams.Noted{Delivery: d, Current: recordOf(d, millrace.Running)})
		}
		b.Deafen()
		for _, err := range store.NoteAll(t.Context(), marks) {
			wantUnavailable(t, "unheard", err)
		}
		b.Hear()
		time.Sleep(time.Second)
		for i, err := range store.NoteAll(t.Context(), marks) {
			if err != nil {
				t.Errorf("%s: %v", marks[i].Task.ID, err)
			}
		}
	})
}

// Two workers that were given the same task write the same, to the letter. Only one of
// them has it, whoever got an answer.
func TestTheSameRecordByAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Timeout: time.Second, AckWait: 5 * time.Second})
		p := pull(t, store, "default")
		for i, write := range []func(d *streams.Delivery, r millrace.Record) error{
			func(d *streams.Delivery, r millrace.Record) error { return store.Note(t.Context(), d, r) },
			func(d *streams.Delivery, r millrace.Record) error { return store.CheckOut(t.Context(), d, r) },
		} {
			submit(t, store, newTask(fmt.Sprintf("t%d", i)))
			first := take(t, p, 1)[0]
			second := takeWithin(t, p, 10*time.Second)
			r := recordOf(first, millrace.Running)
			unheard(t, b, func() error { return write(second, r) })
			if err := write(first, r); !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("it was taken by another worker, and then: %v", err)
			}
			if err := write(second, r); err != nil {
				t.Error(err)
			}
			if err := store.Finish(t.Context(), second, recordOf(second, millrace.Succeeded), time.Hour); err != nil {
				t.Error(err)
			}
		}
	})
}

// What was called off stays so, whatever its worker has written before.
func TestCancelledWithoutAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Timeout: time.Second})
		submit(t, store, newTask("t"))
		d := take(t, pull(t, store, "default"), 1)[0]
		unheard(t, b, func() error { return store.Note(t.Context(), d, recordOf(d, millrace.Running)) })
		if _, err := store.Cancel(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("it was cancelled, and then: %v", err)
		}
		wantState(t, store, "t", millrace.Cancelled)
	})
}
