package streams_test

import (
	"fmt"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/streams"
	"millrace/test/broker"
)

// A process that purges dies before any of its writes. Each task has been purged then, or
// is still to be carried out, and is one or the other in the end.
func TestDeathAtAnyWriteOfAPurge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// It is the process that dies, not the machine.
		b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
		store := open(t, b, streams.Config{AckWait: 2 * time.Second})
		const tasks = 4
		for n := 0; ; n++ {
			var ids []string
			for i := range tasks {
				ids = append(ids, fmt.Sprintf("n%d-%d", n, i))
				submit(t, store, newTask(ids[i]))
			}
			// The server counts what is pending a moment after it has stored it.
			for state, err := store.QueueState(t.Context(), "default"); err != nil || state.Pending < tasks; state, err = store.QueueState(t.Context(), "default") {
				time.Sleep(time.Millisecond)
			}
			way := &broker.Mortal{Broker: b, Left: n}
			mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way, AckWait: 2 * time.Second, Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			done, left, err := mortal.Purge(t.Context(), "default", tasks)
			died := way.Died()
			mortal.Close()
			if !died && (err != nil || done != tasks || left != 0) {
				t.Fatalf("%d done, %d left, %v", done, left, err)
			}
			purged := 0
			for _, id := range ids {
				f, err := store.Lookup(t.Context(), id)
				if err != nil || f.Record.State.Final() && f.Record.State != millrace.Cancelled {
					t.Fatalf("%d: %s is %q, %v", n, id, f.Record.State, err)
				}
				if f.Record.State == millrace.Cancelled {
					purged++
				}
			}
			if uint64(purged) < done {
				t.Errorf("%d: %d tasks are purged, and %d were said to be", n, purged, done)
			}
			carryOut(t, store, tasks-purged)
			for _, id := range ids {
				if f, err := store.Lookup(t.Context(), id); err != nil || !f.Record.State.Final() {
					t.Errorf("%d: %s is %q in the end, %v", n, id, f.Record.State, err)
				}
			}
			if !died {
				if n < 2*tasks {
					t.Errorf("it died before each of %d writes, and there must be more", n)
				}
				return
			}
		}
	})
}

// carryOut does what is still to be done, which must be so many tasks.
func carryOut(t *testing.T, store *streams.Store, want int) {
	t.Helper()
	p := pull(t, store, "default")
	ran := 0
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		some, err := p.Next(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range some {
			if d.Record != nil && d.Record.State.Final() {
				if err := d.Ack(); err != nil {
					t.Error(err)
				}
				continue
			}
			ran++
			if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour); err != nil {
				t.Error(err)
			}
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if ran != want {
		t.Errorf("%d tasks were carried out, want %d", ran, want)
	}
}
