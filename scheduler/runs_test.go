package scheduler_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// What Run submits is among the runs, once, whenever the one who submits it dies, and the
// due times go on beside it.
func TestDeathAtAnyWriteOfARun(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		book := scheduler.NewBook(store)
		s := every("s", time.Minute)
		if _, err := book.Put(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		run(t, store, scheduler.Config{})
		for n := 0; ; n++ {
			id := fmt.Sprint("by-hand-", n)
			way := &broker.Mortal{Broker: b, Left: n}
			mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = scheduler.NewBook(mortal).Run(t.Context(), "s", id)
			died := way.Died()
			mortal.Close()
			if _, err := book.Run(t.Context(), "s", id); err != nil && !errors.Is(err, millrace.ErrConflict) {
				t.Error(err)
			}
			e, err := book.Get(t.Context(), "s")
			if err != nil {
				t.Fatal(err)
			}
			times := 0
			for _, r := range e.Runs {
				if e.TaskOf(r) == id {
					times++
				}
			}
			if times != 1 {
				t.Errorf("%d: it is %d times in %+v", n, times, e.Runs)
			}
			before := len(e.Runs)
			time.Sleep(time.Minute)
			if e, err = book.Get(t.Context(), "s"); err != nil || len(e.Runs) != before+1 {
				t.Errorf("%d: a minute later there are %+v, %v", n, e.Runs, err)
			}
			if !died {
				if n < 2 {
					t.Errorf("it died before each of %d writes, and there must be more", n)
				}
				return
			}
		}
	})
}

// Pages are by name, and what is made or removed meanwhile moves none to another one.
func TestPagesOfSchedules(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		book := scheduler.NewBook(open(t, newBroker(t), streams.Config{}))
		put := func(names ...string) {
			for _, name := range names {
				if _, err := book.Put(t.Context(), every(name, time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
		}
		put("e", "c", "a", "d", "b", "gone")
		if err := book.Cancel(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		page := func(after string, want ...string) (next string) {
			t.Helper()
			got, next, err := book.Page(t.Context(), after, 2)
			var names []string
			for _, e := range got {
				names = append(names, e.Name)
			}
			if err != nil || fmt.Sprint(names) != fmt.Sprint(want) {
				t.Errorf("after %q there are %v, %v, want %v", after, names, err, want)
			}
			return next
		}
		next := page("", "a", "b")
		put("aa", "d") // the one is before, and the other is changed
		if err := book.Cancel(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		next = page(next, "c", "d")
		if next = page(next, "e"); next != "" {
			t.Errorf("behind the last page there is one after %q", next)
		}
	})
}
