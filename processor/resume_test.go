package processor_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// atOnce is how long what was put off may take when its kind is resumed: much less than
// it would have waited for.
const atOnce = 2 * time.Second

// What was put off since its kind was paused comes at once when that is resumed, in the
// order in which it was submitted, and what waits beside it for something else does not.
func TestResumedKind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, api := open(t, b, streams.Config{}), open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{Concurrency: 1})
		var ran []string
		handle(p, "test.held", func(_ context.Context, task millrace.RawTask) (any, error) {
			ran = append(ran, task.ID)
			return nil, nil
		})
		handle(p, "test.again", func(_ context.Context, task millrace.RawTask) (any, error) {
			return nil, errors.New("no luck")
		})
		ok(t, api.PauseKind(t.Context(), "test.held"))
		start(t, p)
		var tasks []millrace.RawTask
		for i := range 300 {
			tasks = append(tasks, newTask(fmt.Sprintf("held-%d", i), "test.held"))
		}
		submit(t, store, tasks...)
		time.Sleep(3*time.Minute + 10*time.Second)
		again := newTask("again", "test.again")
		again.Backoff = &millrace.Backoff{Delay: millrace.Duration(20 * time.Second)}
		submit(t, store, again)
		ok(t, api.SubmitAt(t.Context(), newTask("later", echo), time.Now().Add(10*time.Second)))
		time.Sleep(time.Second)
		ok(t, api.ResumeKind(t.Context(), "test.held"))
		time.Sleep(atOnce)
		for _, task := range tasks {
			if r := lookup(t, store, task.ID); r.State != millrace.Succeeded || len(r.Attempts) != 1 || r.Lost != 0 {
				t.Errorf("%+v", r)
			}
		}
		if len(ran) != len(tasks) {
			t.Errorf("%d tasks ran %d times", len(tasks), len(ran))
		}
		if r := lookup(t, store, "again"); r.State != millrace.Retrying || len(r.Attempts) != 1 {
			t.Errorf("what waits for its retry came early: %+v", r)
		}
		if r := lookup(t, store, "later"); r.State != millrace.Scheduled {
			t.Errorf("what waits for its time came early: %+v", r)
		}
		if n := waitingTasks(t, b, store); n != 2 {
			t.Errorf("%d tasks wait, want the two others", n)
		}
	})
}

// Whatever is put off while its kind is being resumed comes at once too, whoever of the
// workers has heard of it when.
func TestResumedWhilePutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		api := open(t, b, streams.Config{})
		for i := range 2 {
			p := newProcessor(t, open(t, b, streams.Config{}), processor.Config{Worker: fmt.Sprint(i), Concurrency: 4})
			handle(p, "test.held", func(context.Context, millrace.RawTask) (any, error) { return nil, nil })
			start(t, p)
		}
		synctest.Wait()
		for round := range 20 {
			ok(t, api.PauseKind(t.Context(), "test.held"))
			var ids []string
			for i := range 40 {
				ids = append(ids, fmt.Sprintf("r%d-%d", round, i))
				submit(t, api, newTask(ids[i], "test.held"))
				if i == 20 {
					ok(t, api.ResumeKind(t.Context(), "test.held"))
				}
			}
			time.Sleep(atOnce)
			for _, id := range ids {
				if r := lookup(t, api, id); r.State != millrace.Succeeded || len(r.Attempts) != 1 {
					t.Errorf("%+v", r)
				}
			}
		}
	})
}

// Whoever resumes a kind, or moves what was put off, dies before any of its writes. Each
// task is carried out, once: at once if somebody resumes it again, else when its wait is
// over.
func TestDeathAtAnyWriteOfAResume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
		store := openAlone(t, b)
		const tasks = 6
		for n, again := 0, false; ; n, again = n+1, !again {
			var runs atomic.Int32
			ok(t, store.PauseKind(t.Context(), "test.held"))
			var ids []string
			for i := range tasks {
				ids = append(ids, fmt.Sprintf("n%d-%d", n, i))
				submit(t, store, newTask(ids[i], "test.held"))
			}
			p := processor.New(store, processor.Config{Grace: time.Second})
			handle(p, "test.held", func(context.Context, millrace.RawTask) (any, error) { runs.Add(1); return nil, nil })
			stop := start(t, p)
			time.Sleep(time.Second)

			way := &broker.Mortal{Broker: b, Left: n}
			mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way})
			ok(t, err)
			stopMoving := moveDue(t, mortal)
			_ = mortal.ResumeKind(t.Context(), "test.held")
			time.Sleep(time.Second)
			died := way.Died()
			stopMoving()
			mortal.Close()
			stopMoving = moveDue(t, store)
			if again {
				ok(t, store.ResumeKind(t.Context(), "test.held"))
				time.Sleep(atOnce)
			} else {
				if store.PutOff("test.held") > 0 { // the dead one was to do it
					ok(t, store.ResumeKind(t.Context(), "test.held"))
				}
				time.Sleep(streams.MaxPutOff + 3*time.Second)
			}
			for _, id := range ids {
				if r := lookup(t, store, id); r.State != millrace.Succeeded || len(r.Attempts) != 1 || r.Lost != 0 {
					t.Errorf("%d, %v: %+v", n, again, r)
				}
			}
			stop()
			if runs.Load() != tasks {
				t.Errorf("%d: %d tasks ran %d times", n, tasks, runs.Load())
			}
			time.Sleep(time.Minute) // what was moved, and is waiting still, is found out then
			stopMoving()
			if waiting := waitingTasks(t, b, store); waiting != 0 {
				t.Errorf("%d: %d wait still", n, waiting)
			}
			if !died {
				if n < tasks {
					t.Errorf("it died before each of %d writes, and there must be more", n)
				}
				return
			}
		}
	})
}

// openAlone opens a store for which nobody moves what is due.
func openAlone(t *testing.T, b *broker.Broker) *streams.Store {
	t.Helper()
	store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
	ok(t, err)
	t.Cleanup(store.Close)
	return store
}
