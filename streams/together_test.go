package streams_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// together is tasks to be submitted together, numbered from first on.
func together(name string, first, n int) []millrace.RawTask {
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprint(name, "-", first+i))
	}
	return tasks
}

// there counts those that are there, each of which must be so once.
func there(t *testing.T, store *streams.Store, tasks []millrace.RawTask) (n int) {
	t.Helper()
	for _, kept := range store.Kept(t.Context(), tasks) {
		switch {
		case kept.Err == nil && kept.Same:
			n++
		case !errors.Is(kept.Err, millrace.ErrNotFound):
			t.Fatalf("%+v", kept)
		}
	}
	return n
}

// The process dies before any of its writes: all of the tasks are there or none, and to
// submit them again makes them all be there, once. Some may have been there before, so
// that the first batch is refused and a second one is made.
func TestTogetherDeathAtAnyWrite(t *testing.T) {
	const n = 20
	for before := range 3 {
		t.Run(fmt.Sprint(before, " there before"), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				watcher := open(t, b, streams.Config{})
				var had uint64
				for left := 0; ; left += broker.Step() {
					tasks := together(fmt.Sprint("t", left), 0, n)
					submit(t, watcher, tasks[n-before:]...)
					mortal := &broker.Mortal{Broker: b, Left: left}
					store, err := streams.Open(t.Context(), streams.Config{InProcess: mortal, Timeout: time.Second})
					if err == nil {
						err = store.SubmitTogether(t.Context(), tasks)
						store.Close()
					}
					if got := there(t, watcher, tasks); got != before && got != n || err == nil && got != n || err != nil && !errors.Is(err, millrace.ErrUnavailable) {
						t.Fatalf("%d of %d are there when the process died before write %d: %v", got, n, left, err)
					}
					if err := watcher.SubmitTogether(t.Context(), tasks); err != nil || there(t, watcher, tasks) != n {
						t.Fatalf("again, when the process died before write %d: %v", left, err)
					}
					had += n
					if last, err := watcher.LastSequence(t.Context(), "default"); err != nil || last != had {
						t.Fatalf("%d tasks are %d messages: %v", had, last, err)
					}
					if !mortal.Died() {
						if t.Logf("it died before each of %d writes", left); left < n {
							t.Error("there must be more")
						}
						return
					}
				}
			})
		})
	}
}

// The answer is lost: all of it is there, and to submit it again is to submit it once.
func TestTogetherUnanswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, watcher := open(t, b, streams.Config{Timeout: time.Second}), open(t, b, streams.Config{})
		tasks := together("t", 0, 30)
		b.Deafen()
		if err := store.SubmitTogether(t.Context(), tasks); !errors.Is(err, millrace.ErrUnavailable) {
			t.Fatal(err)
		}
		b.Hear()
		for range 2 {
			if err := store.SubmitTogether(t.Context(), tasks); err != nil {
				t.Error(err)
			}
		}
		if last, err := watcher.LastSequence(t.Context(), "default"); err != nil || last != 30 || there(t, watcher, tasks) != 30 {
			t.Errorf("%d messages, %v", last, err)
		}
	})
}

// Several submit groups that overlap, at once: every group is there in the end, and
// every task once. A group is not, though, if there is another task under one of its ids.
func TestTogetherAtOnce(t *testing.T) {
	b := startBroker(t, time.Minute)
	const rounds, writers = 10, 4
	stores := make([]*streams.Store, writers)
	for i := range stores {
		stores[i] = open(t, b, streams.Config{})
	}
	var want uint64
	for round := range rounds {
		name := fmt.Sprint("r", round)
		submit(t, stores[0], newTask(name+"-15"))
		var submitting sync.WaitGroup
		groups := make([][]millrace.RawTask, writers)
		for i, store := range stores {
			groups[i] = together(name, 10*i, 30)
			rand.Shuffle(30, func(a, b int) { groups[i][a], groups[i][b] = groups[i][b], groups[i][a] })
			submitting.Go(func() {
				// Who meets others three times says so, and comes again.
				for errs := 0; ; errs++ {
					err := store.SubmitTogether(t.Context(), groups[i])
					if err == nil {
						return
					}
					if one, ok := errors.AsType[*streams.TogetherError](err); ok || !errors.Is(err, millrace.ErrConflict) || errs == 10 {
						t.Errorf("group %d: %v, %+v", i, err, one)
						return
					}
				}
			})
		}
		odd := together(name+"-odd", 0, 30)
		odd[15] = newTask(name + "-15")
		odd[15].Args = json.RawMessage(`{"n":2}`)
		submitting.Go(func() {
			err := stores[0].SubmitTogether(t.Context(), odd)
			if one, ok := errors.AsType[*streams.TogetherError](err); !ok || one.Index != 15 || !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("another task is in the way: %v", err)
			}
		})
		submitting.Wait()
		if t.Failed() {
			return
		}
		if n := there(t, stores[0], slices.Concat(odd[:15], odd[16:])); n != 0 {
			t.Errorf("%d of a group are there that another task is in the way of", n)
		}
		for i, g := range groups {
			if n := there(t, stores[0], g); n != 30 {
				t.Errorf("%d of group %d are there", n, i)
			}
		}
		want += 10*(writers-1) + 30
	}
	if last, err := stores[0].LastSequence(t.Context(), "default"); err != nil || last != want {
		t.Errorf("%d messages, not %d: %v", last, want, err)
	}
}
