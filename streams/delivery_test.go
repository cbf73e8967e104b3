package streams_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/streams"
)

func TestDeliveryCarriesItsTask(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	task := newTask("t2")
	task.MaxAttempts, task.Tags = 7, []string{"x"}
	submit(t, store, newTask("t1"), task)
	d := take(t, pull(t, store, "default"), 2)[1]
	if diff := cmp.Diff(task, d.Task); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d.Record != nil || d.Malformed != nil || d.Delivered != 1 || d.Sequence != 2 {
		t.Errorf("record %v, malformed %v, delivered %d, sequence %d", d.Record, d.Malformed, d.Delivered, d.Sequence)
	}
	if age := time.Since(d.Received); age < 0 || age > time.Minute {
		t.Errorf("received %s ago", age)
	}
}

// What a subject says of a task goes, whatever the message claims.
func TestTheSubjectNamesTheTask(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	js := inspect(t, b)
	for subject, body := range map[string]string{
		"tasks.default.mail-send.t1": `{"id":"other","kind":"x","queue":"bulk","args":1}`,
		"tasks.default.mail-send.t2": `{`,
		"tasks.default.mail-send.t3": ``,
		"tasks.default.mail-send.t4": `[]`,
		"tasks.default.two":          `{"id":"two","kind":"k"}`,
		"tasks.default.MAIL.t5":      `{"id":"t5","kind":"k"}`,
		"tasks.default.a.b.c.d":      `{}`,
	} {
		if _, err := js.Publish(t.Context(), subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	for _, d := range take(t, pull(t, store, "default"), 7) {
		ids[d.Task.ID] = true
		if d.Task.Queue != "default" {
			t.Errorf("%s came from queue %q", d.Task.ID, d.Task.Queue)
		}
		switch d.Task.ID {
		case "t1", "t2", "t3", "t4":
			if d.Task.Kind != "mail.send" || (d.Malformed == nil) != (d.Task.ID == "t1") {
				t.Errorf("%s: kind %s, malformed %v", d.Task.ID, d.Task.Kind, d.Malformed)
			}
		default:
			// Whatever it is, it needs a name to be told apart by.
			if d.Malformed == nil || millrace.ValidateID(d.Task.ID) != nil || millrace.ValidateKind(d.Task.Kind) != nil {
				t.Errorf("%s: kind %s, malformed %v", d.Task.ID, d.Task.Kind, d.Malformed)
			}
		}
	}
	if len(ids) != 7 {
		t.Errorf("seven messages have the ids %v", ids)
	}
}

// Virtual time tells exactly when a task comes again, and with what.
func TestRedelivery(t *testing.T) {
	const ackWait = 10 * time.Second
	for _, c := range []struct {
		name   string
		settle func(context.Context, *streams.Store, *streams.Delivery, millrace.Record) error
		after  time.Duration
		noted  bool
	}{
		{"released", func(_ context.Context, _ *streams.Store, d *streams.Delivery, _ millrace.Record) error {
			return d.Release(0)
		}, 0, false},
		{"released for later", func(_ context.Context, _ *streams.Store, d *streams.Delivery, _ millrace.Record) error {
			return d.Release(3 * time.Second)
		}, 3 * time.Second, false},
		{"released for long", func(_ context.Context, _ *streams.Store, d *streams.Delivery, _ millrace.Record) error {
			return d.Release(time.Hour)
		}, time.Hour, false},
		{"noted and kept", func(ctx context.Context, s *streams.Store, d *streams.Delivery, r millrace.Record) error {
			return s.Note(ctx, d, r)
		}, ackWait, true},
		{"retried at once", func(ctx context.Context, s *streams.Store, d *streams.Delivery, r millrace.Record) error {
			return s.Retry(ctx, d, r, 0)
		}, 0, true},
		{"retried later", func(ctx context.Context, s *streams.Store, d *streams.Delivery, r millrace.Record) error {
			return s.Retry(ctx, d, r, 4*time.Second)
		}, 4 * time.Second, true},
		{"forgotten", func(context.Context, *streams.Store, *streams.Delivery, millrace.Record) error { return nil }, ackWait, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{AckWait: ackWait})
				task := newTask("t1")
				submit(t, store, task)
				p := pull(t, store, "default")
				d := take(t, p, 1)[0]
				start := time.Now()
				r := recordOf(d, millrace.Retrying)
				if err := c.settle(t.Context(), store, d, r); err != nil {
					t.Fatal(err)
				}
				d = takeWithin(t, p, 2*time.Hour)
				if late := time.Since(start) - c.after; late < 0 || late > 50*time.Millisecond {
					t.Errorf("came %s after it should have", late)
				}
				if diff := cmp.Diff(task, d.Task); diff != "" || d.Delivered != 2 || d.Sequence != 1 {
					t.Errorf("delivery %d of %d (-want +got):\n%s", d.Delivered, d.Sequence, diff)
				}
				var want *millrace.Record
				if c.noted {
					want = &r
				}
				if diff := cmp.Diff(want, d.Record); diff != "" {
					t.Errorf("its record (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// takeWithin waits for one delivery.
func takeWithin(t *testing.T, p *streams.Puller, patience time.Duration) *streams.Delivery {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		got, err := p.Next(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 {
			return got[0]
		}
	}
	t.Fatalf("no task came in %s", patience)
	return nil
}

func wantNothing(t *testing.T, p *streams.Puller, patience time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		got, err := p.Next(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 {
			t.Fatalf("%s came again", got[0].Task.ID)
		}
	}
}

func TestAcknowledgedIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: 2 * time.Second})
		submit(t, store, newTask("t1"))
		p := pull(t, store, "default")
		if err := take(t, p, 1)[0].Ack(); err != nil {
			t.Fatal(err)
		}
		wantNothing(t, p, time.Minute)
	})
}

// A lease lasts for an ack wait from when it was extended last, by the server's
// clock, and one call extends many.
func TestExtend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const ackWait, n = 3 * time.Second, 100
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: ackWait})
		for i := range n + 1 {
			submit(t, store, newTask(fmt.Sprintf("t%d", i)))
		}
		held := take(t, pull(t, store, "default"), n+1)
		other := pull(t, store, "default")

		// The last is not extended.
		for range 10 {
			time.Sleep(2 * time.Second)
			if err := store.Extend(t.Context(), held[:n]); err != nil {
				t.Fatal(err)
			}
		}
		last := time.Now()
		d := takeWithin(t, other, time.Second)
		if d.Task.ID != held[n].Task.ID || d.Delivered != 2 {
			t.Fatalf("%s came with delivery %d", d.Task.ID, d.Delivered)
		}
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
		wantNothing(t, other, ackWait-time.Since(last)-1300*time.Millisecond)
		if again := take(t, other, n); len(again) != n {
			t.Errorf("%d came again, want %d", len(again), n)
		}
		if d := time.Since(last); d < ackWait || d > ackWait+2*time.Second {
			t.Errorf("they came %s after they were extended last, want %s", d, ackWait)
		}
	})
}

// A lease of a consumer that is gone cannot be extended, and whoever holds it must
// hear so.
func TestExtendWithoutConsumer(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	submit(t, store, newTask("t1"), newTask("t2"))
	held := take(t, pull(t, store, "default"), 2)
	if err := inspect(t, b).DeleteConsumer(t.Context(), "TASKS_default", "workers"); err != nil {
		t.Fatal(err)
	}
	wantUnavailable(t, "extend", store.Extend(t.Context(), held))
	if err := store.Extend(t.Context(), nil); err != nil {
		t.Errorf("nothing to extend: %v", err)
	}
}
