package streams_test

import (
	"errors"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// What was written and got no answer is not taken for somebody else's.
func TestCheckOutWithoutAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Timeout: time.Second})
		submit(t, store, newTask("t"))
		d := take(t, pull(t, store, "default"), 1)[0]
		running := recordOf(d, millrace.Running)
		// unheard does something of which the answer comes too late.
		unheard := func(do func() error) {
			t.Helper()
			b.Deafen()
			wantUnavailable(t, "unheard", do())
			b.Hear()
			time.Sleep(time.Second)
		}
		unheard(func() error { return store.CheckOut(t.Context(), d, running) })
		if err := store.CheckOut(t.Context(), d, running); err != nil || !d.CheckedOut() {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(20 * time.Second)
			unheard(func() error { return store.ExtendCheckedOut(t.Context(), d) })
			if err := store.ExtendCheckedOut(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		other := *d
		other.Record = nil
		if err := store.ExtendCheckedOut(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		unheard(func() error { return store.ExtendCheckedOut(t.Context(), &other) })
		if err := store.ExtendCheckedOut(t.Context(), &other); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("somebody else's lease is renewed: %v", err)
		}
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour); err != nil {
			t.Error(err)
		}
	})
}
