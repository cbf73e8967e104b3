package streams_test

import (
	"errors"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// However long a task is not finished, it has its key; what has none is forgotten.
func TestSweepUnique(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		p := pull(t, store, "default")
		days := 4 * 24 * time.Hour
		keys := []struct {
			millrace.Unique
			delay time.Duration
			taken bool // still, when it has been tried for days
		}{
			{millrace.Unique{Key: "waits"}, days, true},
			{millrace.Unique{Key: "waits for its first run", While: millrace.WhilePending}, days, true},
			{millrace.Unique{Key: "a time", While: millrace.WhileFor, For: days}, 0, true},
			{millrace.Unique{Key: "a short time", While: millrace.WhileFor, For: time.Hour}, 0, false},
			{millrace.Unique{Key: "is done"}, 0, false},
		}
		for i, k := range keys {
			task := newTask(string(rune('a' + i)))
			if _, err := store.SubmitUnique(t.Context(), task, time.Now().Add(k.delay), k.Unique); err != nil {
				t.Fatal(k.Key, err)
			}
		}
		finishAll(t, store, p)
		forgotten := uint64(0)
		for range 3 {
			time.Sleep(24 * time.Hour)
			n, err := store.SweepUnique(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			forgotten += n
		}
		if forgotten != 1 {
			t.Errorf("%d keys were forgotten, want that of the task that is done", forgotten)
		}
		for _, k := range keys {
			if _, err := store.SubmitUnique(t.Context(), newTask("new-"+k.Key[:1]+k.Key[len(k.Key)-1:]), time.Time{}, k.Unique); errors.Is(err, millrace.ErrConflict) != k.taken || !k.taken && err != nil {
				t.Error(k.Key, err)
			}
		}
	})
}
