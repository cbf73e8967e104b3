package streams_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/streams"
)

// The routes that were set replace those of the configuration until they are cleared,
// for all processes; those of the configuration may change meanwhile.
func TestRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		mail := []millrace.Route{{Kinds: "mail.*", Queue: "bulk"}}
		store, other := open(t, b, streams.Config{Routes: mail}), open(t, b, streams.Config{Queues: []string{"default"}})
		want := func(what, kind, first, second string) {
			t.Helper()
			time.Sleep(time.Second)
			if a, b := store.Route(kind), other.Route(kind); a != first || b != second {
				t.Errorf("%s: %s goes to %s and %s, want %s and %s", what, kind, a, b, first, second)
			}
		}
		want("at first", "mail.send", "bulk", "default")
		for _, wrong := range [][]millrace.Route{{{Kinds: "[", Queue: "bulk"}}, {{Kinds: "*", Queue: "nowhere"}}, {{Kinds: "*", Queue: "a b"}}} {
			if err := store.SetRoutes(t.Context(), wrong); !errors.Is(err, millrace.ErrInvalid) {
				t.Errorf("%v: %v", wrong, err)
			}
		}
		if err := store.SetRoutes(t.Context(), []millrace.Route{{Kinds: "mail.*", Queue: "critical"}}); err != nil {
			t.Fatal(err)
		}
		want("set", "mail.send", "critical", "critical")
		if err := other.CheckQueue("critical"); err != nil {
			t.Errorf("a route leads where a process knows no queue: %v", err)
		}
		shares := map[string]streams.QueueSettings{"post": {Weight: 4}}
		if err := store.Reconfigure(t.Context(), []string{"post"}, shares, []millrace.Route{{Kinds: "mail.*", Queue: "post"}}, nil); err != nil {
			t.Fatal(err)
		}
		want("set, with a new configuration", "mail.send", "critical", "critical")
		if err := other.CheckQueue("post"); err != nil || other.Control().Get().Queue("post").Weight != 4 {
			t.Errorf("the queue of another's configuration: %v", err)
		}
		if err := other.ClearRoutes(t.Context()); err != nil {
			t.Fatal(err)
		}
		want("cleared", "mail.send", "post", "default")
		if err := store.Reconfigure(t.Context(), nil, nil, []millrace.Route{{Kinds: "*", Queue: "nowhere"}}, nil); !errors.Is(err, millrace.ErrInvalid) {
			t.Error(err)
		}
		if err := other.SetRoutes(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		want("set to none", "mail.send", "default", "default")
		_, set := open(t, b, streams.Config{Routes: mail}).Routes()
		if !set {
			t.Error("who starts later does not know that routes were set")
		}
	})
}

func TestQueueState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		submit(t, store, newTask("a"), newTask("b"), newTask("c"))
		begin := time.Now()
		time.Sleep(time.Minute)
		p := pull(t, store, "default")
		take(t, p, 1)
		q, err := store.QueueState(t.Context(), "default")
		if err != nil || q.Pending != 2 || q.InFlight != 1 || q.Bytes == 0 || q.MaxBytes != gib || begin.Sub(q.Oldest).Abs() > time.Second || !q.HeldUntil.IsZero() {
			t.Errorf("%+v, %v", q, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := store.QueueState(t.Context(), "none"); !errors.Is(err, millrace.ErrNotFound) {
			t.Error(err)
		}
		if err := store.PauseQueue(t.Context(), "none"); !errors.Is(err, millrace.ErrNotFound) {
			t.Error(err)
		}
	})
}

// A queue that is drained takes nothing from outside, until it is resumed.
func TestDraining(t *testing.T) {
	store := open(t, newBroker(t), streams.Config{})
	if err := store.Admit("default"); err != nil {
		t.Error(err)
	}
	if err := store.DrainQueue(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	if err := store.Admit("default"); !errors.Is(err, millrace.ErrDraining) {
		t.Error(err)
	}
	if err := store.Admit("bulk"); err != nil {
		t.Error(err)
	}
	if err := store.ResumeQueue(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	if err := store.Admit("default"); err != nil {
		t.Error(err)
	}
}

// What is pending is cancelled and gone; what runs is not touched, nor what waits.
func TestPurge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		const n = 700
		submit(t, store, newTask("runs"))
		p := pull(t, store, "default")
		running := take(t, p, 1)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			submit(t, store, newTask(fmt.Sprintf("p-%d", i)))
		}
		if err := store.SubmitAt(t.Context(), newTask("later"), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		// The broker counts what its workers have ahead of them a moment after it took it.
		eventually(t, "all are counted", func() bool {
			q, err := store.QueueState(t.Context(), "default")
			return err == nil && q.Pending == n
		})
		var count *streams.CountError
		if _, left, err := store.Purge(t.Context(), "default", n-1); !errors.As(err, &count) || !errors.Is(err, millrace.ErrConflict) || left != n {
			t.Fatalf("%d left, %v", left, err)
		}
		done, left, err := store.Purge(t.Context(), "default", n)
		if err != nil || done != n || left != 0 {
			t.Fatalf("%d done, %d left, %v", done, left, err)
		}
		for i := range n {
			if f, err := store.Lookup(t.Context(), fmt.Sprintf("p-%d", i)); err != nil || f.Record.State != millrace.Cancelled || f.Record.Error != "purged" {
				t.Fatalf("%+v, %v", f.Record, err)
			}
		}

		if err := store.Finish(t.Context(), running[0], recordOf(running[0], millrace.Succeeded), time.Hour); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // an acknowledgement is not waited for
		q, err := store.QueueState(t.Context(), "default")
		if err != nil || q.Pending != 0 || q.InFlight != 0 {
			t.Errorf("%+v, %v", q, err)
		}
		if f, err := store.Lookup(t.Context(), "later"); err != nil || f.Record.State != millrace.Scheduled {
			t.Errorf("%+v, %v", f.Record, err)
		}
		// It comes to no worker, also when the records have expired.
		time.Sleep(3 * time.Hour)
		p = pull(t, store, "default")
		if some, err := p.Next(t.Context(), 10); err != nil || len(some) > 0 {
			t.Errorf("%d came, %v", len(some), err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
