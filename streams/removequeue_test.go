package streams_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/embedded"
	"millrace/streams"
	"millrace/test/broker"
)

// addQueue adds a queue that must be there then.
func addQueue(t *testing.T, store *streams.Store, queue string) {
	t.Helper()
	if _, err := store.AddQueue(t.Context(), queue, streams.QueueSettings{Weight: 2}); err != nil {
		t.Fatal(err)
	}
}

func mailTask(id string) millrace.RawTask {
	task := newTask(id)
	task.Queue = "mail"
	return task
}

// A queue that was added can be removed when nothing uses it, for all processes, and added
// again.
func TestRemoveQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, other, js := open(t, b, streams.Config{}), open(t, b, streams.Config{}), inspect(t, b)
		for range 2 {
			addQueue(t, store, "mail")
			time.Sleep(time.Second) // until the other has heard of it
			p := pull(t, store, "mail")
			submit(t, other, mailTask(millrace.NewID()))
			work(t, store, p)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if err := other.RemoveQueue(t.Context(), "mail", nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			for _, s := range []*streams.Store{store, other, open(t, b, streams.Config{})} {
				if err := s.CheckQueue("mail"); !errors.Is(err, millrace.ErrInvalid) {
					t.Errorf("it is there: %v", err)
				}
				if err := s.Submit(t.Context(), mailTask("late")); !errors.Is(err, millrace.ErrInvalid) {
					t.Errorf("it takes a task: %v", err)
				}
			}
			if _, err := js.Stream(t.Context(), "TASKS_mail"); !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("its log is there: %v", err)
			}
			if err := store.RemoveQueue(t.Context(), "mail", nil); !errors.Is(err, millrace.ErrNotFound) {
				t.Errorf("once more: %v", err)
			}
		}
	})
}

// A queue that is in use stays as it is.
func TestRemoveQueueInUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		limit := []millrace.Limit{{Scope: millrace.LimitKind, Match: "*", Concurrency: 1}}
		store, js := open(t, b, streams.Config{Queues: []string{"critical", "default", "bulk", "own"}}), inspect(t, b)
		addQueue(t, store, "mail")
		refused := func(why, queue string, inUse func(context.Context) error) {
			t.Helper()
			if err := store.RemoveQueue(t.Context(), queue, inUse); !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("%s: %v", why, err)
			}
			if err := store.CheckQueue(queue); err != nil {
				t.Errorf("%s: %v", why, err)
			}
		}
		refused("built in", "default", nil)
		refused("configured", "own", nil)
		refused("somebody says so", "mail", func(context.Context) error { return millrace.ErrConflict })

		if err := store.SetRoutes(t.Context(), []millrace.Route{{Kinds: "mail.*", Queue: "mail"}}); err != nil {
			t.Fatal(err)
		}
		refused("a route", "mail", nil)
		if err := store.ClearRoutes(t.Context()); err != nil {
			t.Fatal(err)
		}

		submit(t, store, mailTask("pending"))
		refused("pending", "mail", nil)
		p := pull(t, store, "mail")
		d := take(t, p, 1)[0]
		refused("in flight", "mail", nil)
		if err := store.Retry(t.Context(), d, retrying(d, time.Now().Add(time.Hour)), time.Hour); err != nil {
			t.Fatal(err)
		}
		refused("waits for its retry", "mail", nil)
		if _, err := store.Cancel(t.Context(), "pending"); err != nil {
			t.Fatal(err)
		}
		if err := store.SubmitAt(t.Context(), mailTask("later"), time.Now().Add(2*time.Second)); err != nil {
			t.Fatal(err)
		}
		refused("waits for its time, which comes soon", "mail", nil)
		time.Sleep(3 * time.Second)
		refused("is due, and not moved", "mail", nil)
		if _, err := store.Cancel(t.Context(), "later"); err != nil {
			t.Fatal(err)
		}
		if err := store.SetLimits(t.Context(), limit); err != nil {
			t.Fatal(err)
		}
		submit(t, store, mailTask("first"), mailTask("second")) // of which one stands in line
		first := take(t, p, 1)[0]
		r := retrying(first, time.Time{})
		r.State, r.NextAt = millrace.Succeeded, time.Time{}
		if err := store.Finish(t.Context(), first, r, time.Hour); err != nil {
			t.Fatal(err)
		}
		refused("in line", "mail", nil)
		work(t, store, p)
		if err := p.Close(); err != nil {
			t.Error(err)
		}

		if _, err := js.CreateConsumer(t.Context(), "TASKS_mail", jetstream.ConsumerConfig{Durable: "audit", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
			t.Fatal(err)
		}
		refused("another consumer", "mail", nil)
		if err := js.DeleteConsumer(t.Context(), "TASKS_mail", "audit"); err != nil {
			t.Fatal(err)
		}
		if err := store.RemoveQueue(t.Context(), "mail", nil); err != nil {
			t.Error(err)
		}
	})
}

// While a queue is removed others submit to it, who have heard of that or not. Each task
// that was taken is in the queue, which is there then, or it was done before.
func TestRemoveQueueWhileOthersSubmit(t *testing.T) {
	b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
	store, other := open(t, b, streams.Config{}), open(t, b, streams.Config{})
	for round := range 6 {
		addQueue(t, store, "mail")
		for other.CheckQueue("mail") != nil {
			time.Sleep(time.Millisecond)
		}
		taken := make(chan []string, 1)
		began := make(chan struct{})
		go func() {
			var ids []string
			close(began)
			for i := range 50 {
				id := fmt.Sprintf("r%d-%d", round, i)
				if err := other.Submit(t.Context(), mailTask(id)); err == nil {
					ids = append(ids, id)
				}
			}
			taken <- ids
		}()
		<-began
		err := store.RemoveQueue(t.Context(), "mail", nil)
		ids := <-taken
		if err != nil && !errors.Is(err, millrace.ErrConflict) {
			t.Fatal(err)
		}
		if err == nil && len(ids) > 0 {
			t.Fatalf("round %d: the queue is removed, and %v were taken", round, ids)
		}
		for _, id := range ids {
			if f, err := store.Lookup(t.Context(), id); err != nil || f.Record.State.Final() {
				t.Errorf("%s is %+v, %v", id, f.Record, err)
			}
		}
		if len(ids) > 0 {
			state, err := store.QueueState(t.Context(), "mail")
			if err == nil {
				_, _, err = store.Purge(t.Context(), "mail", state.Pending)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Who removes a queue dies before any of the writes. The queue is there, or it is not and
// can be removed, or added, again.
func TestDeathAtAnyWriteOfARemoval(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
		store := open(t, b, streams.Config{})
		for n := 0; ; n++ {
			for _, again := range []bool{true, false} {
				addQueue(t, store, "mail")
				way := &broker.Mortal{Broker: b, Left: n}
				mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way, Timeout: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				err = mortal.RemoveQueue(t.Context(), "mail", nil)
				died := way.Died()
				mortal.Close()
				if !died && err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if again {
					if err := store.RemoveQueue(t.Context(), "mail", nil); err != nil && !errors.Is(err, millrace.ErrNotFound) {
						t.Errorf("%d: again: %v", n, err)
					}
					if err := store.CheckQueue("mail"); err == nil {
						t.Errorf("%d: it is there", n)
					}
				} else {
					addQueue(t, store, "mail")
					submit(t, store, mailTask(fmt.Sprint("n", n)))
					p := pull(t, store, "mail")
					if ran := work(t, store, p); len(ran) != 1 {
						t.Errorf("%d: ran %v", n, ran)
					}
					if err := p.Close(); err != nil {
						t.Error(err)
					}
				}
				if !died && !again {
					if n < 4 {
						t.Errorf("it died before each of %d writes, and there must be more", n)
					}
					return
				}
			}
		}
	})
}
