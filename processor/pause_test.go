package processor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// ok fails the test if something that must go well did not.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A queue that is paused starts nothing, whichever worker there is and whoever comes
// anew. What runs goes on, other queues are served, and nothing is lost or counted as
// lost.
func TestPausedQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, other := open(t, b, streams.Config{}), open(t, b, streams.Config{})
		var started atomic.Int32
		processors := make([]*processor.Processor, 2)
		for i, s := range []*streams.Store{store, other} {
			processors[i] = newProcessor(t, s, processor.Config{Concurrency: 2})
			handle(processors[i], "test.slow", func(ctx context.Context, task millrace.RawTask) (any, error) {
				started.Add(1)
				time.Sleep(3 * time.Second)
				return nil, ctx.Err()
			})
		}
		stop := start(t, processors[0])
		var tasks []millrace.RawTask
		for i := range 20 {
			tasks = append(tasks, newTask(fmt.Sprintf("slow-%d", i), "test.slow"))
		}
		submit(t, store, tasks...)
		eventually(t, "two run", func() bool { return started.Load() == 2 })
		ok(t, other.PauseQueue(t.Context(), "default"))
		start(t, processors[1])
		quick := newTask("quick", echo)
		quick.Queue = "bulk"
		submit(t, store, quick)
		finished(t, store, "quick")
		time.Sleep(time.Minute)
		if n := started.Load(); n != 2 {
			t.Errorf("%d tasks of a paused queue ran, want the 2 that did already", n)
		}
		stop()

		// A process that starts while it is paused, and one that has been there.
		third := newProcessor(t, open(t, b, streams.Config{}), processor.Config{})
		handle(third, "test.slow", func(context.Context, millrace.RawTask) (any, error) { started.Add(1); return nil, nil })
		start(t, third)
		time.Sleep(time.Minute)
		if n := started.Load(); n != 2 {
			t.Errorf("%d tasks of a paused queue ran after a restart", n)
		}
		ok(t, store.ResumeQueue(t.Context(), "default"))
		for _, task := range tasks {
			if r := finished(t, store, task.ID); r.State != millrace.Succeeded || r.Lost != 0 || len(r.Attempts) != 1 {
				t.Errorf("%+v", r)
			}
		}
		if n := started.Load(); n != 20 {
			t.Errorf("20 tasks ran %d times", n)
		}
	})
}

// A consumer that an operator pauses with the nats command is waited for, and resumed
// with its queue.
func TestConsumerPausedByAnOperator(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		start(t, newProcessor(t, store, processor.Config{}))
		if _, err := inspect(t, b).PauseConsumer(t.Context(), "TASKS_default", "workers", time.Now().Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		submit(t, store, newTask("held", echo))
		time.Sleep(time.Hour)
		state, err := store.QueueState(t.Context(), "default")
		if err != nil || state.Pending != 1 || time.Until(state.HeldUntil).Round(time.Minute) != 23*time.Hour {
			t.Errorf("%+v, %v", state, err)
		}
		ok(t, store.ResumeQueue(t.Context(), "default"))
		finished(t, store, "held")
	})
}

// Tasks of a paused kind are put off: without an attempt, off their queue, and less
// often the longer it lasts. Others go past them.
func TestPausedKind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		moveDue(t, store)
		p := newProcessor(t, store, processor.Config{Concurrency: 2})
		var runs atomic.Int32
		handle(p, "test.held", func(context.Context, millrace.RawTask) (any, error) { runs.Add(1); return nil, nil })
		ok(t, store.PauseKind(t.Context(), "test.held"))
		start(t, p)
		var tasks []millrace.RawTask
		for i := range 30 {
			tasks = append(tasks, newTask(fmt.Sprintf("held-%d", i), "test.held"))
		}
		submit(t, store, tasks...)
		submit(t, store, newTask("free", echo))
		if r := finishedIn(t, store, "free", time.Second); r.State != millrace.Succeeded {
			t.Errorf("%+v", r)
		}
		time.Sleep(10 * time.Minute)
		if n := underWay(t, b); n != 0 {
			t.Errorf("%d tasks of a paused kind hold a place in their queue", n)
		}
		r := lookup(t, store, "held-0")
		if r.State != millrace.Scheduled || len(r.Attempts) != 0 || len(r.Waits) != 1 || r.Waits[0].Why != millrace.WaitPause || r.Deliveries > 30 {
			t.Errorf("%+v", r)
		}
		ok(t, store.ResumeKind(t.Context(), "test.held"))
		for _, task := range tasks {
			if r := finishedIn(t, store, task.ID, streams.MaxPutOff+3*time.Second); r.State != millrace.Succeeded || len(r.Attempts) != 1 || r.Lost != 0 {
				t.Errorf("%+v", r)
			}
		}
		if n := runs.Load(); n != 30 {
			t.Errorf("30 tasks ran %d times", n)
		}
	})
}

// Workers serve a queue that is added while they run, unless they serve certain ones.
func TestAddedQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, api := open(t, b, streams.Config{}), open(t, b, streams.Config{})
		certain := newProcessor(t, store, processor.Config{Worker: "certain", Queues: []processor.Queue{{Name: "default"}}})
		stop := start(t, certain)
		if _, err := api.AddQueue(t.Context(), "mail", streams.QueueSettings{Weight: 2}); err != nil {
			t.Fatal(err)
		}
		task := newTask("letter", echo)
		task.Queue = "mail"
		submit(t, api, task)
		time.Sleep(10 * time.Second)
		if r := lookup(t, store, "letter"); r.State != millrace.Pending {
			t.Errorf("a worker that does not serve the queue has it: %+v", r)
		}
		stop()
		start(t, newProcessor(t, store, processor.Config{Worker: "all"}))
		finished(t, store, "letter")
		if _, err := api.AddQueue(t.Context(), "sms", streams.QueueSettings{}); err != nil {
			t.Fatal(err)
		}
		task.Queue, task.ID = "sms", "text"
		submit(t, api, task)
		if r := finished(t, api, "text"); r.Attempts[0].Worker != "all" || r.Lost != 0 {
			t.Errorf("%+v", r)
		}
		// A process that starts later knows it, whatever its configuration says.
		if err := open(t, b, streams.Config{}).CheckQueue("sms"); err != nil {
			t.Error(err)
		}
	})
}
