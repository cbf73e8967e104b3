package scheduler_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// Many processes start at once, some of them later again: there is one schedule, it
// fires, and what an operator has made of it stays.
func TestInstall(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		book := scheduler.NewBook(store)
		s := every("s", 10*time.Second)
		var starting sync.WaitGroup
		for range 16 {
			starting.Go(func() {
				if err := book.Install(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
		run(t, store, scheduler.Config{})
		minute := start.Truncate(time.Minute)
		time.Sleep(25 * time.Second) // :28
		wantFired(t, js, s, late, minute.Add(10*time.Second), minute.Add(20*time.Second))

		changed := put(t, book, every("s", time.Hour))
		if err := book.Install(t.Context(), s); err != nil {
			t.Error(err)
		}
		got, err := book.Get(t.Context(), "s")
		if diff := cmp.Diff(changed, got, cmpopts.IgnoreUnexported(scheduler.Entry{})); err != nil || diff != "" {
			t.Errorf("%v, %s", err, diff)
		}

		// What nobody can read is somebody's all the same.
		if _, err := js.Publish(t.Context(), "$KV.schedules.odd", []byte("{")); err != nil {
			t.Fatal(err)
		}
		odd := every("odd", time.Hour)
		if err := book.Install(t.Context(), odd); err != nil {
			t.Error(err)
		}
		if e, err := book.Get(t.Context(), "odd"); err == nil {
			t.Errorf("it was replaced: %+v", e)
		}
	})
}
