package streams_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"millrace"
	"millrace/streams"
)

// wantState fails the test unless the task is in that state, and returns what was
// found.
func wantState(t *testing.T, store *streams.Store, id string, want millrace.State) streams.Found {
	t.Helper()
	f, err := store.Lookup(t.Context(), id)
	if err != nil || f.Record.State != want {
		t.Fatalf("%s: got %q, %v, want %s", id, f.Record.State, err, want)
	}
	return f
}

// recordOf is a record of the delivered task, as a worker would write it.
func recordOf(d *streams.Delivery, state millrace.State) millrace.Record {
	now := time.Now().UTC()
	r := millrace.Record{
		ID: d.Task.ID, Kind: d.Task.Kind, Queue: d.Task.Queue, State: state, Tags: d.Task.Tags, SubmittedAt: d.Task.SubmittedAt,
		Attempts: []millrace.Attempt{{Number: 1, StartedAt: now, EndedAt: now, Worker: "w"}},
	}
	switch state {
	case millrace.Succeeded:
		r.Result, r.FinishedAt = json.RawMessage(`{"ok":true}`), now
	case millrace.Failed:
		r.Error, r.Attempts[0].Error, r.FinishedAt = "no luck", "no luck", now
	case millrace.Retrying:
		r.Error, r.Attempts[0].Error, r.NextAt = "no luck", "no luck", now.Add(time.Minute)
	}
	return r
}

// The states of a task's life, each told as it is.
func TestLookup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		if _, err := store.Lookup(t.Context(), "t1"); !errors.Is(err, millrace.ErrNotFound) {
			t.Fatalf("never accepted: got %v, want ErrNotFound", err)
		}

		task := newTask("t1")
		task.Tags = []string{"x"}
		submit(t, store, task)
		want := millrace.Record{ID: "t1", Kind: "demo.echo", Queue: "default", State: millrace.Pending, Tags: task.Tags, SubmittedAt: task.SubmittedAt}
		f := wantState(t, store, "t1", millrace.Pending)
		if diff := cmp.Diff(streams.Found{Record: want, Version: f.Version, Revision: f.Revision}, f); diff != "" {
			t.Errorf("pending (-want +got):\n%s", diff)
		}
		versions := map[string]millrace.State{f.Version: f.Record.State}

		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		f = wantState(t, store, "t1", millrace.Running)
		want.State = millrace.Running
		if diff := cmp.Diff(want, f.Record); diff != "" {
			t.Errorf("running (-want +got):\n%s", diff)
		}
		versions[f.Version] = f.Record.State

		want = recordOf(d, millrace.Retrying)
		if err := store.Retry(t.Context(), d, want, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		f = wantState(t, store, "t1", millrace.Retrying)
		if diff := cmp.Diff(want, f.Record); diff != "" {
			t.Errorf("retrying (-want +got):\n%s", diff)
		}
		versions[f.Version] = f.Record.State

		d = take(t, p, 1)[0]
		want = recordOf(d, millrace.Succeeded)
		if err := store.Finish(t.Context(), d, want, time.Hour); err != nil {
			t.Fatal(err)
		}
		f = wantState(t, store, "t1", millrace.Succeeded)
		want.ExpiresAt = want.FinishedAt.Add(time.Hour)
		if diff := cmp.Diff(streams.Found{Record: want, Version: f.Version, Revision: f.Revision}, f); diff != "" {
			t.Errorf("succeeded (-want +got):\n%s", diff)
		}
		versions[f.Version] = f.Record.State
		if len(versions) != 4 {
			t.Errorf("four states have the versions %v", versions)
		}

		time.Sleep(59 * time.Minute)
		wantState(t, store, "t1", millrace.Succeeded)
		time.Sleep(2 * time.Minute)
		if _, err := store.Lookup(t.Context(), "t1"); !errors.Is(err, millrace.ErrGone) {
			t.Errorf("an hour later: got %v, want ErrGone", err)
		}
	})
}

func TestResultTTL(t *testing.T) {
	for _, c := range []struct {
		ttl    time.Duration
		header string        // an hour longer than it is shown
		there  time.Duration // still there then
		gone   time.Duration // and not any more then
	}{
		{time.Second, "3601s", 900 * time.Millisecond, 1300 * time.Millisecond},
		{time.Nanosecond, "3601s", 900 * time.Millisecond, 1300 * time.Millisecond},
		{1500 * time.Millisecond, "3602s", 1400 * time.Millisecond, 1600 * time.Millisecond},
		{48 * time.Hour, "176400s", 48*time.Hour - time.Second, 48*time.Hour + time.Second},
	} {
		t.Run(c.ttl.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				submit(t, store, newTask("t1"))
				d := take(t, pull(t, store, "default"), 1)[0]
				start := time.Now()
				if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), c.ttl); err != nil {
					t.Fatal(err)
				}
				if got := lastMessage(t, inspect(t, b), "KV_results", "$KV.results.t1").Header.Get("Nats-TTL"); got != c.header {
					t.Errorf("the record lives for %q, want %s", got, c.header)
				}
				time.Sleep(time.Until(start.Add(c.there)))
				wantState(t, store, "t1", millrace.Succeeded)
				time.Sleep(time.Until(start.Add(c.gone)))
				if _, err := store.Lookup(t.Context(), "t1"); !errors.Is(err, millrace.ErrGone) {
					t.Errorf("after %s: got %v, want ErrGone", c.gone, err)
				}
			})
		})
	}
}

// A task of which only its subject can be read is told of all the same.
func TestLookupOfAMalformedMessage(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	js := inspect(t, b)
	if _, err := js.Publish(t.Context(), "tasks.default.mail-send.t1", []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	f := wantState(t, store, "t1", millrace.Pending)
	want := millrace.Record{ID: "t1", Kind: "mail.send", Queue: "default", State: millrace.Pending}
	if diff := cmp.Diff(want, f.Record, cmpopts.IgnoreFields(millrace.Record{}, "SubmittedAt")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if age := time.Since(f.Record.SubmittedAt); age < 0 || age > time.Minute {
		t.Errorf("submitted %s ago", age)
	}
}

func TestWaitWakesOnFinish(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		submit(t, store, newTask("t1"))
		d := take(t, pull(t, store, "default"), 1)[0]

		// Long enough that the wait looks once a second only.
		finished := make(chan time.Time, 1)
		var finishing sync.WaitGroup
		defer finishing.Wait() // it has the task to let go of yet
		finishing.Go(func() {
			time.Sleep(10300 * time.Millisecond)
			finished <- time.Now()
			if err := store.Finish(context.Background(), d, recordOf(d, millrace.Succeeded), time.Hour); err != nil {
				t.Error(err)
			}
		})
		f, err := store.Wait(t.Context(), "t1")
		if err != nil || f.Record.State != millrace.Succeeded {
			t.Fatalf("got %q, %v", f.Record.State, err)
		}
		if late := time.Since(<-finished); late > 20*time.Millisecond {
			t.Errorf("woke %s after the finish", late)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		submit(t, store, newTask("t1"))
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		start := time.Now()
		f, err := store.Wait(ctx, "t1")
		if err != nil || f.Record.State != millrace.Pending {
			t.Errorf("got %q, %v, want what was seen last", f.Record.State, err)
		}
		if d := time.Since(start); d != 90*time.Second {
			t.Errorf("waited %s, want 1m30s", d)
		}
	})
}

func TestWaitForWhatIsNotThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		submit(t, store, newTask("done"))
		d := take(t, pull(t, store, "default"), 1)[0]
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Failed), time.Hour); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if f, err := store.Wait(t.Context(), "done"); err != nil || f.Record.State != millrace.Failed {
			t.Errorf("a finished one: got %q, %v", f.Record.State, err)
		}
		if _, err := store.Wait(t.Context(), "nobody"); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("nobody's: got %v, want ErrNotFound", err)
		}
		if _, err := store.Wait(t.Context(), "*"); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("everybody's: got %v, want ErrInvalid", err)
		}
		synctest.Wait()
		if d := time.Since(start); d > 0 {
			t.Errorf("that took %s", d)
		}
	})
}
