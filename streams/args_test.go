package streams_test

import (
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// What a task is given is found wherever the task is, until nothing keeps it.
func TestArgs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		want := func(id, args string, wantKept bool) {
			t.Helper()
			got, kept, err := store.Args(t.Context(), lookup(t, store, id))
			if err != nil || string(got) != args || kept != wantKept {
				t.Errorf("args of %s: %s, %t, %v; want %s, %t", id, got, kept, err, args, wantKept)
			}
		}
		args := string(newTask("t").Args)
		submit(t, store, newTask("pending"))
		want("pending", args, true)
		if err := store.SubmitAt(t.Context(), newTask("later"), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		want("later", args, true)
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), 7*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		want("pending", args, true)
		submit(t, store, newTask("dead"))
		d = take(t, p, 1)[0]
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Failed), 7*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(26 * time.Hour)
		if _, err := store.Trim(t.Context(), "default", streams.DefaultRetention()); err != nil {
			t.Fatal(err)
		}
		want("pending", "", false)
		want("dead", args, true)
	})
}
