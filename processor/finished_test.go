package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// Somebody finishes a task, by calling it off for example, while its handler runs,
// or while it waits to be tried again: that stands, and it does not run again.
func TestFinishedMeanwhile(t *testing.T) {
	for name, comes := range map[string]struct {
		result any
		err    error
	}{
		"succeeds":       {"done", nil},
		"fails":          {nil, errors.New("no luck")},
		"fails for good": {nil, millrace.Permanent(errors.New("no luck"))},
		"snoozes":        {nil, millrace.Snooze(time.Second)},
	} {
		for _, after := range []time.Duration{0, 3 * time.Second} {
			t.Run(fmt.Sprint(name, ", ", after), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := newBroker(t)
					store := open(t, b, streams.Config{})
					p := newProcessor(t, store, processor.Config{})
					var runs atomic.Int32
					handle(p, "test.work", func(context.Context, millrace.RawTask) (any, error) {
						runs.Add(1)
						time.Sleep(2 * time.Second)
						return comes.result, comes.err
					})
					start(t, p)
					synctest.Wait()
					task := newTask("t1", "test.work")
					task.Backoff = &millrace.Backoff{Delay: seconds(10)[0]}
					submit(t, store, task)
					time.Sleep(time.Second + after)
					before, err := store.Lookup(t.Context(), "t1")
					if err != nil {
						t.Fatal(err)
					}
					if before.Record.State.Final() {
						return // it was faster
					}
					want := record(task, millrace.Cancelled)
					want.FinishedAt = time.Now().UTC()
					want.ExpiresAt = want.FinishedAt.Add(time.Hour)
					data, err := json.Marshal(want)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := inspect(t, b).Publish(t.Context(), "$KV.results.t1", data); err != nil {
						t.Fatal(err)
					}
					ran := runs.Load()
					time.Sleep(10 * time.Minute)
					wantRecord(t, want, lookup(t, store, "t1"))
					if after > 0 && runs.Load() > ran+1 || after == 0 && runs.Load() != ran {
						t.Errorf("it ran %d times, and %d before it was called off", runs.Load(), ran)
					}
					if got := acknowledged(t, b, "default"); got != streamState(t, b, "TASKS_default").LastSeq {
						t.Error("it is not off its queue")
					}
					if all := dead(t, b); len(all) > 0 {
						t.Errorf("dead: %v", all)
					}
				})
			})
		}
	}
}
