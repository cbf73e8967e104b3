package streams_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
)

// Somebody deletes the consumer when the records of what is done have long expired:
// nothing of that is done again, and nothing that is not done is lost.
func TestConsumerDeletedLongAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		puller := pull(t, store, "default")
		submit(t, store, newTask("done1"), newTask("done2"))
		for _, d := range take(t, puller, 2) {
			if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Hour)
		submit(t, store, newTask("left"))
		if _, err := puller.Next(t.Context(), 1); err != nil { // it notes the floor, and takes the task
			t.Fatal(err)
		}
		if err := inspect(t, b).DeleteConsumer(t.Context(), "TASKS_default", "workers"); err != nil {
			t.Fatal(err)
		}
		restore(t, puller)
		again := pull(t, store, "default")
		if got := take(t, again, 1)[0].Task.ID; got != "left" {
			t.Errorf("the new consumer begins with %s", got)
		}
		wantNothing(t, again, 5*time.Second)
	})
}

// A worker that was frozen until even the record had expired must not write its own.
func TestOutcomeOutlivesItsExpiry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: 2 * time.Second})
		submit(t, store, newTask("first"), newTask("t1"))
		puller := pull(t, store, "default")
		held := take(t, puller, 2) // the first stays unfinished, so that the floor does not pass
		frozen := held[1]
		var other *streams.Delivery
		for other == nil || other.Task.ID != "t1" {
			other = takeWithin(t, puller, 10*time.Second)
		}
		if err := store.Finish(t.Context(), other, recordOf(other, millrace.Succeeded), time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if _, err := store.Lookup(t.Context(), "t1"); !errors.Is(err, millrace.ErrGone) {
			t.Errorf("while an earlier task is not finished: %v, want ErrGone", err)
		}
		if err := store.Finish(t.Context(), frozen, recordOf(frozen, millrace.Succeeded), time.Hour); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("the frozen worker's outcome: %v, want ErrConflict", err)
		}
	})
}

// A process with other settings does not shorten the leases of running workers, nor
// what an operator has enlarged.
func TestConsumerIsNeverShrunk(t *testing.T) {
	b := newBroker(t)
	if got := open(t, b, streams.Config{AckWait: 10 * time.Second}).AckWait(); got != 10*time.Second {
		t.Fatalf("the ack wait is %s", got)
	}
	js := inspect(t, b)
	consumer := func() jetstream.ConsumerConfig {
		c, err := js.Consumer(t.Context(), "TASKS_default", "workers")
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo().Config
	}
	enlarged := consumer()
	enlarged.MaxAckPending = 200_000
	if _, err := js.UpdateConsumer(t.Context(), "TASKS_default", enlarged); err != nil {
		t.Fatal(err)
	}
	if got := open(t, b, streams.Config{AckWait: 2 * time.Second}).AckWait(); got != 10*time.Second {
		t.Errorf("a store that asks for 2s goes by %s, want the 10s that others go by", got)
	}
	if got := consumer(); got.AckWait != 10*time.Second || got.MaxAckPending != 200_000 {
		t.Errorf("the consumer has %s and %d", got.AckWait, got.MaxAckPending)
	}
	if got := open(t, b, streams.Config{AckWait: time.Minute}).AckWait(); got != time.Minute || consumer().AckWait != time.Minute {
		t.Errorf("a store that asks for 1m goes by %s", got)
	}
}

// Of two workers with one task, one fails it and one has done it: the dead hold only
// what has failed.
func TestTheDeadHoldOnlyWhatFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: 2 * time.Second})
		submit(t, store, newTask("t1"))
		puller := pull(t, store, "default")
		loser := take(t, puller, 1)[0]
		winner := takeWithin(t, puller, 10*time.Second)
		if err := store.Finish(t.Context(), winner, recordOf(winner, millrace.Succeeded), time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := store.Finish(t.Context(), loser, recordOf(loser, millrace.Failed), time.Hour); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("the loser: %v, want ErrConflict", err)
		}
		if n := streamInfo(t, inspect(t, b), "DEAD").State.Msgs; n != 0 {
			t.Errorf("%d tasks are dead", n)
		}
	})
}
