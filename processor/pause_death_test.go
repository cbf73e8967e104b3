package processor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// A worker puts off the tasks of a paused kind, and dies before any of its writes. When
// the kind is resumed each task is carried out, once.
func TestDeathAtAnyWriteOfAPause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// It is the process that dies, not the machine.
		b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
		store := open(t, b, streams.Config{AckWait: 5 * time.Second})
		moveDue(t, store)
		var runs atomic.Int32
		worker := func(store *streams.Store) *processor.Processor {
			p := processor.New(store, processor.Config{Grace: time.Second})
			handle(p, "test.held", func(context.Context, millrace.RawTask) (any, error) { runs.Add(1); return nil, nil })
			return p
		}
		const tasks = 2
		for n := 0; ; n++ {
			ok(t, store.PauseKind(t.Context(), "test.held"))
			runs.Store(0)
			var ids []string
			for i := range tasks {
				ids = append(ids, fmt.Sprintf("n%d-%d", n, i))
				submit(t, store, newTask(ids[i], "test.held"))
			}
			way := &broker.Mortal{Broker: b, Left: n}
			mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way, AckWait: 5 * time.Second})
			ok(t, err)
			stop := start(t, worker(mortal))
			time.Sleep(20 * time.Second)
			// The dead one still has the time to notice.
			died := way.Died()
			stop()
			mortal.Close()
			if runs.Load() != 0 {
				t.Fatalf("%d: %d tasks of a paused kind ran", n, runs.Load())
			}
			ok(t, store.ResumeKind(t.Context(), "test.held"))
			stop = start(t, worker(store))
			for _, id := range ids {
				if r := finishedIn(t, store, id, time.Minute); r.State != millrace.Succeeded || len(r.Attempts) != 1 || r.Lost > 1 {
					t.Errorf("%d: %+v", n, r)
				}
			}
			stop()
			if runs.Load() != tasks {
				t.Errorf("%d: %d tasks ran %d times", n, tasks, runs.Load())
			}
			if !died {
				if n < 3*tasks {
					t.Errorf("it died before each of %d writes, and there must be more", n)
				}
				return
			}
		}
	})
}
