package streams_test

import (
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// What a stopping process hands back is not lost with the server in it: it comes at
// once after a restart, and not when its lease would have ended.
func TestHandBackOutlivesTheServer(t *testing.T) {
	for name, state := range map[string]millrace.State{"new": millrace.Pending, "tried before": millrace.Retrying} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				submit(t, store, newTask("t"))
				p := pull(t, store, "default")
				d := take(t, p, 1)[0]
				r := recordOf(d, state)
				if state == millrace.Retrying {
					r.NextAt = time.Now().UTC()
				}
				if err := store.HandBack(t.Context(), d, r); err != nil {
					t.Fatal(err)
				}
				b.Stop()
				b.Start()
				eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
				start := time.Now()
				move(t, store, due(t, store, 1))
				d = take(t, p, 1)[0]
				if waited := time.Since(start); waited > 5*time.Second {
					t.Errorf("came back after %s", waited)
				}
				if d.Record == nil || d.Record.State != state || len(d.Record.Attempts) != len(r.Attempts) {
					t.Errorf("came back as %+v", d.Record)
				}
			})
		})
	}
}

// What cannot wait outside its queue's log is handed back there: a task as large as
// the broker takes, and what is no task, whose body nothing else holds.
func TestHandBackToTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		submitLargest(t, store, newTask("large"))
		if _, err := inspect(t, b).Publish(t.Context(), "tasks.default.demo-echo.broken", []byte("no JSON")); err != nil {
			t.Fatal(err)
		}
		p := pull(t, store, "default")
		for range 3 {
			for _, d := range take(t, p, 2) {
				r := millrace.Record{ID: d.Task.ID, Kind: d.Task.Kind, Queue: d.Task.Queue, State: millrace.Pending}
				if broken := d.Task.ID != "large"; broken != (d.Malformed != nil) {
					t.Errorf("%s: %v", d.Task.ID, d.Malformed)
				}
				start := time.Now()
				if err := store.HandBack(t.Context(), d, r); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(start); waited > time.Second {
					t.Errorf("%s: it took %s", d.Task.ID, waited)
				}
			}
		}
		start := time.Now()
		take(t, p, 2)
		if waited := time.Since(start); waited > time.Second {
			t.Errorf("came back after %s", waited)
		}
	})
}
