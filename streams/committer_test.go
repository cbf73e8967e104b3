package streams_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// batches are the atomic batches that the messages of a stream came in, with
// their sizes; those published on their own count under "".
func batches(t *testing.T, b *broker.Broker, name string) map[string]int {
	t.Helper()
	js := inspect(t, b)
	consumer, err := js.OrderedConsumer(t.Context(), name, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{}
	n := int(streamInfo(t, js, name).State.Msgs)
	fetched, err := consumer.Fetch(n)
	if err != nil {
		t.Fatal(err)
	}
	for m := range fetched.Messages() {
		sizes[m.Headers().Get("Nats-Batch-Id")]++
		n--
	}
	if n != 0 || fetched.Error() != nil {
		t.Fatalf("%d messages are missing: %v", n, fetched.Error())
	}
	return sizes
}

func TestALoneWriterPublishesPlainly(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	for i := range 20 {
		submit(t, store, newTask(fmt.Sprintf("t%d", i)))
	}
	if got := batches(t, b, "TASKS_default"); got[""] != 20 {
		t.Errorf("wrote %v, want 20 messages outside of batches", got)
	}
}

func TestManyWritersShareBatches(t *testing.T) {
	const writers, each = 256, 8
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if err := store.Submit(t.Context(), newTask(fmt.Sprintf("t%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	sizes := batches(t, b, "TASKS_default")
	alone := sizes[""]
	delete(sizes, "")
	t.Logf("%d batches, %d messages alone", len(sizes), alone)
	if grouped := writers*each - alone; grouped < writers*each*3/4 || grouped/len(sizes) < 32 {
		t.Errorf("%d messages in %d batches, and %d alone: the writers did not meet", grouped, len(sizes), alone)
	}
	for id, n := range sizes {
		if n > 500 {
			t.Errorf("batch %s has %d messages", id, n)
		}
	}
}

func TestAsyncPublishesPlainly(t *testing.T) {
	b := startBroker(t, time.Second)
	store := open(t, b, streams.Config{Async: true})
	tasks := make([]millrace.RawTask, 10_000) // more than may be in flight
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprintf("t%d", i))
	}
	submit(t, store, tasks...)
	if got := batches(t, b, "TASKS_default"); got[""] != len(tasks) {
		t.Errorf("wrote %v, want %d messages outside of batches", got, len(tasks))
	}
}

// The order of one caller's tasks is kept.
func TestBatchesKeepTheOrder(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	tasks := make([]millrace.RawTask, 1200)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprintf("t%d", i))
	}
	submit(t, store, tasks...)
	p := pull(t, store, "default")
	for i, d := range take(t, p, len(tasks)) {
		if d.Task.ID != tasks[i].ID {
			t.Fatalf("%s came in place of %s", d.Task.ID, tasks[i].ID)
		}
	}
}

// blocked makes one write wait for an answer that does not come, and n more wait
// behind it. results gets what becomes of them, the first write's too.
func blocked(t *testing.T, b *broker.Broker, store *streams.Store, ctx context.Context, n int) (results chan error) {
	t.Helper()
	results = make(chan error, n+1)
	b.Deafen()
	go func() { results <- store.Submit(context.Background(), newTask("first")) }()
	synctest.Wait()
	for i := range n {
		go func() { results <- store.Submit(ctx, newTask(fmt.Sprintf("waiting%d", i))) }()
	}
	synctest.Wait()
	return results
}

func TestCancelledBeforeItIsSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		results := blocked(t, b, store, ctx, 50)
		reason := errors.New("the caller went home")
		cancel(reason)
		start := time.Now()
		for range 50 {
			if err := <-results; !errors.Is(err, millrace.ErrUnavailable) || !errors.Is(err, reason) {
				t.Errorf("got %v, want ErrUnavailable and why", err)
			}
		}
		if d := time.Since(start); d > 0 {
			t.Errorf("a cancelled caller waited %s", d)
		}
		b.Hear()
		if err := <-results; err != nil {
			t.Errorf("the first write: %v", err)
		}
		submit(t, store, newTask("last"))
		if n := streamInfo(t, inspect(t, b), "TASKS_default").State.LastSeq; n != 2 {
			t.Errorf("the log has taken %d tasks, want the first and the last only", n)
		}
	})
}

func TestNoAnswer(t *testing.T) {
	for _, async := range []bool{false, true} {
		t.Run(fmt.Sprint("async ", async), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				cfg := streams.Config{Async: async, Timeout: 2 * time.Second}
				store := open(t, b, cfg)
				b.Deafen()
				start := time.Now()
				task := newTask("unanswered")
				if err := store.Submit(t.Context(), task); !errors.Is(err, millrace.ErrUnavailable) {
					t.Errorf("got %v, want ErrUnavailable", err)
				}
				if d := time.Since(start); d != cfg.Timeout {
					t.Errorf("waited %s, want %s", d, cfg.Timeout)
				}
				b.Hear()
				// It was stored for all that, so that to try again is safe.
				if err := store.Submit(t.Context(), task); !errors.Is(err, millrace.ErrConflict) {
					t.Errorf("got %v, want ErrConflict", err)
				}
			})
		})
	}
}

func TestCloseWhileWritersWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Timeout: 3 * time.Second})
		results := blocked(t, b, store, t.Context(), 50)
		start := time.Now()
		store.Close()
		for range 51 {
			if err := <-results; !errors.Is(err, millrace.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("closing took %s", d)
		}
		if err := store.Submit(t.Context(), newTask("late")); !errors.Is(err, millrace.ErrUnavailable) {
			t.Errorf("a closed store: got %v, want ErrUnavailable", err)
		}
		b.Hear()
		if n := streamInfo(t, inspect(t, b), "TASKS_default").State.LastSeq; n != 1 {
			t.Errorf("the log has taken %d tasks, want the first only", n)
		}
	})
}

// What the server holds of a batch that was never committed counts against the
// batches it takes at once, so a message that is too large must not begin one.
func TestOversizedMessagesLeaveNothingBehind(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	large := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	for round := range 60 {
		tasks := make([]millrace.RawTask, 20)
		for i := range tasks {
			tasks[i] = newTask(fmt.Sprintf("t%d-%d", round, i))
		}
		tasks[10].Args = large
		for i, err := range store.SubmitMany(t.Context(), tasks) {
			if want := i == 10; errors.Is(err, millrace.ErrInvalid) != want || err != nil && !want {
				t.Fatalf("round %d, task %d: %v", round, i, err)
			}
		}
	}
	good := make([]millrace.RawTask, 100)
	for i := range good {
		good[i] = newTask(fmt.Sprintf("good%d", i))
	}
	submit(t, store, good...)
}
