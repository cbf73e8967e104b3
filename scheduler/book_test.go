package scheduler_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
)

// Whoever writes a schedule last has it armed, whoever arms last.
func TestManyWriteAtOnce(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	book := scheduler.NewBook(store)
	for round := range 10 {
		var writing sync.WaitGroup
		for i := range 8 {
			writing.Go(func() {
				if i == 7 && round%2 == 0 {
					if err := book.Cancel(t.Context(), "s"); err != nil && !errors.Is(err, millrace.ErrNotFound) {
						t.Error(err)
					}
					return
				}
				put(t, book, every("s", time.Duration(100+i)*time.Hour))
			})
		}
		writing.Wait()
		armed, err := store.Armed(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		e, err := book.Get(t.Context(), "s")
		switch {
		case errors.Is(err, millrace.ErrNotFound):
			if len(armed) > 0 {
				t.Errorf("it was cancelled, and armed is %+v", armed)
			}
		case err != nil:
			t.Fatal(err)
		case len(armed) != 1 || armed[0].Generation != e.Generation || !armed[0].Due.Equal(e.NextAt):
			t.Errorf("armed is %+v of %+v", armed, e)
		}
	}
}

func TestPutRefuses(t *testing.T) {
	b := newBroker(t)
	book := scheduler.NewBook(open(t, b, streams.Config{}))
	large := every("large", time.Hour)
	large.Args = make([]byte, 1<<20-700)
	for i := range large.Args {
		large.Args[i] = '1'
	}
	nowhere := every("nowhere", time.Hour)
	nowhere.Queue = "nowhere"
	for why, s := range map[string]millrace.Schedule{
		"in the past":       {Name: "s", Kind: "k", At: time.Now().Add(-time.Minute)},
		"centuries away":    {Name: "s", Kind: "k", At: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"never":             {Name: "s", Kind: "k", Cron: "0 0 30 2 *"},
		"a hostile name":    {Name: "*", Kind: "k", Every: millrace.Duration(time.Hour)},
		"too large to fire": large,
		"no such queue":     nowhere,
	} {
		if _, err := book.Put(t.Context(), s); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("%s: %v", why, err)
		}
	}
	if all, err := book.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("there are %v, %v", all, err)
	}
	for _, name := range []string{"*", ">", "a.b", ""} {
		if err := book.Cancel(t.Context(), name); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("cancel %q: %v", name, err)
		}
	}
}
