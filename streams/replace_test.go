package streams_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

var replacing = millrace.Unique{Key: "k", OnConflict: millrace.UniqueReplace}

// replaceWith submits a task that is to replace the one that has the key.
func replaceWith(ctx context.Context, store *streams.Store, n int, delay time.Duration) (streams.Holding, error) {
	return store.SubmitUnique(ctx, uniqueTask(fmt.Sprint("t", n), n), time.Now().Add(delay), replacing)
}

// What replaces a pending task runs instead of it, at its place, also once it was given
// to a worker. What its worker has claimed is not replaced.
func TestReplacePending(t *testing.T) {
	store := open(t, newBroker(t), streams.Config{})
	p := pull(t, store, "default")
	for i := range 3 {
		if h, err := replaceWith(t.Context(), store, i, 0); err != nil || h.ID != "t0" || h.Replaced != (i > 0) || h.State != millrace.Pending {
			t.Fatal(h, err)
		}
	}
	for name, change := range map[string]func(*millrace.RawTask){
		"another kind":  func(task *millrace.RawTask) { task.Kind = "demo.other" },
		"another queue": func(task *millrace.RawTask) { task.Queue = "bulk" },
	} {
		other := uniqueTask("other", 9)
		change(&other)
		if _, err := store.SubmitUnique(t.Context(), other, time.Time{}, replacing); !errors.Is(err, millrace.ErrConflict) {
			t.Error(name, err)
		}
	}
	d := take(t, p, 1)[0]
	if string(d.Task.Args) != `{"n":2}` {
		t.Fatalf("%s runs", d.Task.Args)
	}
	if h, err := replaceWith(t.Context(), store, 3, 0); err != nil || !h.Replaced {
		t.Fatal("what no worker has claimed yet:", h, err)
	}
	if err := claim(t, store, d); !errors.Is(err, millrace.ErrConflict) {
		t.Fatal("what was replaced is claimed:", err)
	}
	if err := d.Release(0); err != nil {
		t.Fatal(err)
	}
	if d = take(t, p, 1)[0]; string(d.Task.Args) != `{"n":3}` {
		t.Fatalf("%s runs", d.Task.Args)
	}
	if err := claim(t, store, d); err != nil {
		t.Fatal(err)
	}
	_, err := replaceWith(t.Context(), store, 4, 0)
	if taken, is := errors.AsType[*millrace.TakenError](err); !is || taken.ID != "t0" || taken.State != millrace.Running {
		t.Fatal("what runs is replaced:", err)
	}
	if err := succeed(t, store, d); err != nil {
		t.Fatal(err)
	}
	if done := finishAll(t, store, p); len(done) != 0 {
		t.Fatal(done, "is done as well")
	}
	f, err := store.Lookup(t.Context(), "t0")
	if err != nil || f.Record.State != millrace.Succeeded || f.Record.Replacement != nil {
		t.Fatal(f, err)
	}
}

// What is too large for its record is refused, and nothing has changed.
func TestReplaceWithTooMuch(t *testing.T) {
	store := open(t, newBroker(t), streams.Config{})
	p := pull(t, store, "default")
	if _, err := replaceWith(t.Context(), store, 0, 0); err != nil {
		t.Fatal(err)
	}
	large := uniqueTask("large", 0)
	large.Args = json.RawMessage(`"` + strings.Repeat("x", 600<<10) + `"`)
	if _, err := store.SubmitUnique(t.Context(), large, time.Time{}, replacing); !errors.Is(err, millrace.ErrInvalid) {
		t.Fatal(err)
	}
	if done := finishAll(t, store, p); len(done) != 1 || done["t0"] != `{"n":0}` {
		t.Fatal(done)
	}
}

// A task that lies in its queue's log, or was put off from there, runs when the last
// submission says: later than the one before, or earlier.
func TestReplaceTimes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		defer keepMoving(t, store)()
		p := pull(t, store, "default")
		if _, err := replaceWith(t.Context(), store, 0, 0); err != nil {
			t.Fatal(err)
		}
		for i, delay := range []time.Duration{time.Minute, time.Hour, 10 * time.Second, 30 * time.Second, 2 * time.Second, 20 * time.Second} {
			h, err := replaceWith(t.Context(), store, i+1, delay)
			if err != nil || !h.Replaced || h.State != millrace.Scheduled {
				t.Fatal(h, err)
			}
			if done := finishAll(t, store, p); len(done) != 0 {
				t.Fatalf("%v was done, and is to wait %s", done, delay)
			}
			f, err := store.Lookup(t.Context(), "t0")
			if err != nil || f.Record.State != millrace.Scheduled || !f.Record.NextAt.Equal(h.Due) {
				t.Fatal(f, err)
			}
		}
		time.Sleep(18 * time.Second)
		if done := finishAll(t, store, p); len(done) != 0 {
			t.Fatalf("%v came early", done)
		}
		time.Sleep(3 * time.Second)
		if done := finishAll(t, store, p); len(done) != 1 || done["t0"] != `{"n":6}` {
			t.Fatalf("%v was done", done)
		}
		time.Sleep(2 * time.Hour)
		if done := finishAll(t, store, p); len(done) != 0 {
			t.Fatalf("%v came again", done)
		}
	})
}

// Pulled forward, a task that was put off for an hour does not wait for that.
func TestReplaceSooner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		defer keepMoving(t, store)()
		p := pull(t, store, "default")
		for i, delay := range []time.Duration{0, time.Hour, 0} {
			if _, err := replaceWith(t.Context(), store, i, delay); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if done := finishAll(t, store, p); len(done) != 0 {
					t.Fatal(done)
				}
			}
		}
		time.Sleep(3 * time.Second)
		if done := finishAll(t, store, p); len(done) != 1 || done["t0"] != `{"n":2}` {
			t.Fatalf("%v was done", done)
		}
	})
}

// However long a task that was replaced is pending, what was submitted first does not run.
func TestReplacedForLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		p := pull(t, store, "default")
		for i := range 2 {
			if _, err := replaceWith(t.Context(), store, i, 0); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(millrace.MaxResultTTL) + 24*time.Hour)
		if done := finishAll(t, store, p); done["t0"] != `{"n":1}` {
			t.Fatalf("%v was done", done)
		}
	})
}

// A task in the line of a limit, or behind it in its queue's log, is replaced where it is.
func TestReplaceUnderALimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		defer keepMoving(t, store)()
		p := pull(t, store, "default")
		first := newTask("first")
		first.Key = "customer:1"
		submit(t, store, first)
		submitKeyed := func(n int, delay time.Duration) {
			t.Helper()
			task := uniqueTask(fmt.Sprint("t", n), n)
			task.Key = first.Key
			if h, err := store.SubmitUnique(t.Context(), task, time.Now().Add(delay), replacing); err != nil || h.ID != "t0" {
				t.Fatal(h, err)
			}
		}
		for n := range 3 {
			submitKeyed(n, 0)
		}
		submitKeyed(3, 10*time.Second)
		f, err := store.Lookup(t.Context(), "t0")
		if err != nil || f.Record.HeldBy == "" {
			t.Fatal(f, err)
		}
		done := finishAll(t, store, p)
		if len(done) != 1 || done["first"] == "" {
			t.Fatalf("%v was done", done)
		}
		time.Sleep(5 * time.Second)
		if done := finishAll(t, store, p); len(done) != 0 {
			t.Fatalf("%v came early", done)
		}
		if err := store.SweepHeld(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if done := finishAll(t, store, p); len(done) != 1 || done["t0"] != `{"n":3}` {
			t.Fatalf("%v was done", done)
		}
	})
}

// Whoever replaces a task dies before any of its writes: then what was there runs, or
// what was to replace it, once; and what was answered counts.
func TestReplaceDeath(t *testing.T) {
	for _, c := range []struct {
		name       string
		was, comes time.Duration // when the task is due, and is to be
	}{
		{"pending", 0, 0},
		{"pending, for later", 0, 4 * time.Second},
		{"scheduled", 4 * time.Second, 0},
		{"scheduled, for later", 2 * time.Second, 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				watcher := open(t, b, streams.Config{})
				movers, p := keepMoving(t, watcher), pull(t, watcher, "default")
				defer movers()
				for n := 0; ; n++ {
					first, err := replaceWith(t.Context(), watcher, 2*n, c.was)
					if err != nil || first.Replaced {
						t.Fatal(first, err)
					}
					mortal := &broker.Mortal{Broker: b, Left: n}
					store, err := streams.Open(t.Context(), streams.Config{InProcess: mortal})
					answered := false
					if err == nil {
						h, err := replaceWith(t.Context(), store, 2*n+1, c.comes)
						answered = err == nil
						if answered && (h.ID != first.ID || !h.Replaced) {
							t.Fatal(h)
						}
						store.Close()
					}
					done := map[string]string{}
					for range 10 {
						for id, ran := range finishAll(t, watcher, p) {
							done[id] += ran
						}
						time.Sleep(time.Second)
					}
					before, after := string(args(2*n)), string(args(2*n+1))
					if ran := done[first.ID]; len(done) != 1 || ran != after && (answered || ran != before) {
						t.Fatalf("dead before write %d, answered %t: %v was done", n, answered, done)
					}
					if !mortal.Died() {
						if n < 1 {
							t.Error("there must be more")
						}
						return
					}
				}
			})
		})
	}
}
