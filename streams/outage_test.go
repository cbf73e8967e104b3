package streams_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// While the broker is gone everybody hears so at once, and nothing that was
// refused then is stored when it is back.
func TestBrokerGone(t *testing.T) {
	eachMode(t, func(t *testing.T, b *broker.Broker, cfg streams.Config) {
		store := open(t, b, cfg)
		submit(t, store, newTask("before"))
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		b.Stop()
		eventually(t, "the loss is noticed", func() bool { return errors.Is(store.Ready(t.Context()), millrace.ErrUnavailable) })

		start := time.Now()
		many := make([]millrace.RawTask, 1000)
		for i := range many {
			many[i] = newTask(fmt.Sprintf("t%d", i))
		}
		for i, err := range store.SubmitMany(t.Context(), many) {
			wantUnavailable(t, many[i].ID, err)
		}
		_, err := store.Lookup(t.Context(), "before")
		wantUnavailable(t, "look up", err)
		_, err = store.Wait(t.Context(), "before")
		wantUnavailable(t, "wait", err)
		_, err = store.Task(t.Context(), "demo.echo", "before")
		wantUnavailable(t, "task", err)
		wantUnavailable(t, "finish", store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour))
		wantUnavailable(t, "dead letter", store.Finish(t.Context(), d, recordOf(d, millrace.Failed), time.Hour))
		wantUnavailable(t, "retry", store.Retry(t.Context(), d, recordOf(d, millrace.Retrying), 0))
		wantUnavailable(t, "extend", store.Extend(t.Context(), []*streams.Delivery{d, d}))
		_, err = store.Claims().Put(t.Context(), "k", nil, 0, 0)
		wantUnavailable(t, "put", err)
		_, _, err = store.Claims().Get(t.Context(), "k")
		wantUnavailable(t, "get", err)
		_, err = store.LastSequence(t.Context(), "default")
		wantUnavailable(t, "last sequence", err)
		if err := p.Restore(t.Context()); err == nil {
			t.Error("a consumer was made on a broker that is gone")
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("to hear that the broker is gone took %s", took)
		}

		b.Start()
		eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
		js := inspect(t, b)
		for name, want := range map[string]uint64{"TASKS_default": 1, "KV_results": 0, "KV_claims": 0, "DEAD": 0} {
			if n := streamInfo(t, js, name).State.LastSeq; n != want {
				t.Errorf("%s has taken %d messages, want %d", name, n, want)
			}
		}
		submit(t, store, many...)
	})
}

// Who waits for an answer when the connection goes hears at once that none will
// come.
func TestConnectionLostMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		submit(t, store, newTask("t1"), newTask("t2"))
		d := take(t, pull(t, store, "default"), 1)[0]
		start := time.Now()
		asks := map[string]func() error{
			"ready":         func() error { return store.Ready(t.Context()) },
			"submit":        func() error { return store.Submit(t.Context(), newTask("t3")) },
			"look up":       func() error { _, err := store.Lookup(t.Context(), "t1"); return err },
			"last sequence": func() error { _, err := store.LastSequence(t.Context(), "default"); return err },
			"extend":        func() error { return store.Extend(t.Context(), []*streams.Delivery{d}) },
			"finish":        func() error { return store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour) },
		}
		var all sync.WaitGroup
		b.Deafen()
		for what, ask := range asks {
			all.Go(func() { wantUnavailable(t, what, ask()) })
		}
		synctest.Wait()
		b.Stop()
		all.Wait()
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("that took %s", d)
		}
	})
}

// The client is connected again a moment before it says so. What is refused in that
// moment must not be stored either.
func TestRefusedBeforeTheReturnIsTold(t *testing.T) {
	eachMode(t, func(t *testing.T, b *broker.Broker, cfg streams.Config) {
		store := open(t, b, cfg)
		store.LoseLink()
		many := make([]millrace.RawTask, 100)
		for i := range many {
			many[i] = newTask(fmt.Sprintf("t%d", i))
		}
		for i, err := range store.SubmitMany(t.Context(), many) {
			wantUnavailable(t, many[i].ID, err)
		}
		if n := streamInfo(t, inspect(t, b), "TASKS_default").State.LastSeq; n != 0 {
			t.Errorf("the log has taken %d tasks, want none", n)
		}
		store.RestoreLink()
		submit(t, store, many...)
	})
}

func wantUnavailable(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, millrace.ErrUnavailable) {
		t.Errorf("%s: got %v, want ErrUnavailable", what, err)
	}
}

// What was accepted before, in and after an outage is stored, and what was
// refused can be submitted again without being stored twice.
func TestOutageUnderLoad(t *testing.T) {
	eachMode(t, func(t *testing.T, b *broker.Broker, cfg streams.Config) {
		const writers, each = 64, 40
		store := open(t, b, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var all, begun sync.WaitGroup
		begun.Add(writers)
		for w := range writers {
			all.Go(func() {
				for i := range each {
					if i == 2 {
						begun.Done()
					}
					insist(ctx, t, store, newTask(fmt.Sprintf("t%d-%d", w, i)))
				}
			})
		}
		begun.Wait()
		b.Stop()
		b.Start()
		all.Wait()
		if n := streamInfo(t, inspect(t, b), "TASKS_default").State.Msgs; n != writers*each {
			t.Errorf("the log holds %d tasks, want %d", n, writers*each)
		}
	})
}

// insist submits until the task is known to be stored. A conflict says so too,
// once an answer was missed.
func insist(ctx context.Context, t *testing.T, store *streams.Store, task millrace.RawTask) {
	missed := false
	for ctx.Err() == nil {
		switch err := store.Submit(ctx, task); {
		case err == nil || missed && errors.Is(err, millrace.ErrConflict):
			return
		case errors.Is(err, millrace.ErrUnavailable):
			missed = true
			time.Sleep(5 * time.Millisecond)
		default:
			t.Errorf("%s: %v", task.ID, err)
			return
		}
	}
	t.Errorf("%s: %v", task.ID, ctx.Err())
}

// A broker that comes later is waited for, and one that never does is given up
// with the context.
func TestOpenWaitsForTheBroker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		b.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := streams.Open(ctx, streams.Config{InProcess: b}); !errors.Is(err, millrace.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("gave up after %s, want 5s", d)
		}

		time.AfterFunc(3*time.Second, b.Start)
		store := open(t, b, streams.Config{})
		submit(t, store, newTask("t1"))
	})
}

func TestInvalidConfigs(t *testing.T) {
	for why, cfg := range map[string]streams.Config{
		"a hostile queue":      {Queues: []string{"default", "*"}},
		"nowhere for the rest": {Queues: []string{"fast"}, Routes: []millrace.Route{{Kinds: "a", Queue: "fast"}}},
		"a queue twice":        {Queues: []string{"default", "default"}},
		"a route to nowhere":   {Routes: []millrace.Route{{Kinds: "*", Queue: "nowhere"}}},
		"a tiny queue":         {MaxQueueBytes: 1 << 10},
		"a negative expiry":    {PullExpiry: -time.Second},
		"a negative queue":     {MaxQueueBytes: -1},
		"two replicas":         {Replicas: 2},
		"a short lease":        {AckWait: time.Millisecond},
		"a negative timeout":   {Timeout: -time.Second},
		"an unreadable place":  {URL: "nats://[", AckWait: time.Minute},
	} {
		if _, err := streams.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s is taken", why)
		}
	}
	// All that is wrong is said at once.
	_, err := streams.Open(t.Context(), streams.Config{Queues: []string{"default", "a.b"}, Replicas: 7, AckWait: 1})
	if joined, ok := errors.Unwrap(err).(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 3 {
		t.Errorf("got %v, want three complaints", err)
	}
}
