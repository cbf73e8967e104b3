package processor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// A task that no worker has a handler for waits, visibly, for one that has.
func TestUnknownKind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		start(t, newProcessor(t, store, processor.Config{Worker: "old"}))
		task := newTask("t1", "test.new")
		submit(t, store, task, newTask("t2", echo))
		if r := finished(t, store, "t2"); r.State != millrace.Succeeded {
			t.Errorf("its neighbour %s: %s", r.State, r.Error)
		}
		for range 6 {
			time.Sleep(17 * time.Minute)
			wantRecord(t, record(task, millrace.Pending), lookup(t, store, "t1"))
		}
		if n := streamState(t, b, "KV_results").LastSeq; n > 10 {
			t.Errorf("%d records were written while it waited", n)
		}

		p := newProcessor(t, store, processor.Config{})
		handle(p, "test.new", func(context.Context, millrace.RawTask) (any, error) { return "new", nil })
		start(t, p)
		came := time.Now()
		got := finishedIn(t, store, "t1", 10*time.Minute)
		if got.State != millrace.Succeeded || len(got.Attempts) != 1 || got.Attempts[0].Number != 1 || got.Lost != 0 {
			t.Errorf("it ended as %+v", got)
		}
		if took := time.Since(came); took > 5*time.Minute {
			t.Errorf("it waited %s for its worker to be noticed", took)
		}
	})
}

// Workers that know different kinds pass their tasks on, without a long wait.
func TestKindsOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		for range 3 {
			start(t, newProcessor(t, store, processor.Config{}))
		}
		p := newProcessor(t, store, processor.Config{})
		handle(p, "test.new", func(context.Context, millrace.RawTask) (any, error) { return "new", nil })
		start(t, p)
		synctest.Wait()
		began := time.Now()
		for i := range 40 {
			submit(t, store, newTask(fmt.Sprintf("t%d", i), "test.new"))
		}
		for i := range 40 {
			if r := finishedIn(t, store, fmt.Sprintf("t%d", i), time.Hour); r.State != millrace.Succeeded || r.Lost != 0 {
				t.Errorf("%+v", r)
			}
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// What is no task fails, is kept as it came, and holds nobody up.
func TestMalformedMessages(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	js := inspect(t, b)
	submit(t, store, newTask("before", echo))
	for _, m := range []struct{ subject, body string }{
		{"tasks.default.test-echo.no-json", "no JSON"},
		{"tasks.default.test-echo.empty", ""},
		{"tasks.default.nonsense", `{}`},
		{"tasks.default.BAD.x.y.z", `{}`},
	} {
		if _, err := js.Publish(t.Context(), m.subject, []byte(m.body)); err != nil {
			t.Fatal(err)
		}
	}
	submit(t, store, newTask("after", echo))
	start(t, newProcessor(t, store, processor.Config{}))
	for _, id := range []string{"before", "after"} {
		if r := finished(t, store, id); r.State != millrace.Succeeded {
			t.Errorf("%s: %s, %s", id, r.State, r.Error)
		}
	}
	for _, id := range []string{"no-json", "empty"} {
		if r := finished(t, store, id); r.State != millrace.Failed || len(r.Attempts) > 0 || r.Error == "" {
			t.Errorf("%s: %+v", id, r)
		}
	}
	eventually(t, "all are done", func() bool { return acknowledged(t, b, "default") == 6 })
	all := dead(t, b)
	if len(all) != 4 || string(all["no-json"].Body) != "no JSON" {
		t.Errorf("dead: %v", all)
	}
}

// One id, two kinds: whoever is first has it, and the other is not dropped without
// a word.
func TestOneIDForTwoTasks(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	p := newProcessor(t, store, processor.Config{Concurrency: 1})
	handle(p, "test.other", func(context.Context, millrace.RawTask) (any, error) { return "other", nil })
	start(t, p)
	submit(t, store, newTask("t1", echo))
	first := finished(t, store, "t1")
	submit(t, store, newTask("t1", "test.other"))
	eventually(t, "both are done with", func() bool { return acknowledged(t, b, "default") == 2 })
	wantRecord(t, first, lookup(t, store, "t1"))
	if all := dead(t, b); len(all) != 1 {
		t.Errorf("dead: %v", all)
	}
}

// Two processors share a queue, and nothing is done twice.
func TestProcessorsShare(t *testing.T) {
	const n = 5000
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	runs := make([]atomic.Int32, n)
	share := map[string]*atomic.Int32{"one": {}, "two": {}}
	for worker, count := range share {
		p := newProcessor(t, open(t, b, streams.Config{}), processor.Config{Worker: worker})
		handle(p, "test.count", func(_ context.Context, task millrace.RawTask) (any, error) {
			var i int
			if err := json.Unmarshal(task.Args, &i); err != nil {
				return nil, err
			}
			runs[i].Add(1)
			count.Add(1)
			return i, nil
		})
		start(t, p)
	}
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprintf("t%d", i), "test.count")
		tasks[i].Args = json.RawMessage(fmt.Sprint(i))
	}
	submit(t, store, tasks...)
	for i, task := range tasks {
		r := finished(t, store, task.ID)
		if string(r.Result) != fmt.Sprint(i) || r.State != millrace.Succeeded || len(r.Attempts) != 1 || r.Lost != 0 {
			t.Fatalf("%+v", r)
		}
		if n := runs[i].Load(); n != 1 {
			t.Errorf("%s was run %d times", task.ID, n)
		}
	}
	if a, b := share["one"].Load(), share["two"].Load(); a < n/10 || b < n/10 {
		t.Errorf("they did %d and %d", a, b)
	}
}

// A finished task that comes again is only acknowledged.
func TestFinishedTasksAreNotRunAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		var runs atomic.Int32
		handle(p, "test.count", func(context.Context, millrace.RawTask) (any, error) { return runs.Add(1), nil })
		start(t, p)
		const n = 300
		tasks := make([]millrace.RawTask, n)
		for i := range tasks {
			tasks[i] = newTask(fmt.Sprintf("t%d", i), "test.count")
		}
		submit(t, store, tasks...)
		before := map[string]millrace.Record{}
		for _, task := range tasks {
			before[task.ID] = finished(t, store, task.ID)
		}
		// As if all acknowledgements had been lost: the consumer starts anew.
		if err := inspect(t, b).DeleteConsumer(t.Context(), "TASKS_default", "workers"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := acknowledged(t, b, "default"); got != n {
			t.Errorf("%d are acknowledged, want %d", got, n)
		}
		if runs.Load() != n {
			t.Errorf("%d tasks were run %d times", n, runs.Load())
		}
		for _, task := range tasks {
			wantRecord(t, before[task.ID], lookup(t, store, task.ID))
		}
	})
}

// Nor does one that is not due, when the server has forgotten how long to hold it
// back.
func TestRetriesAreNotEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		handle(p, "test.snooze", func(_ context.Context, task millrace.RawTask) (any, error) {
			if time.Since(task.SubmittedAt) < time.Hour {
				return nil, millrace.Snooze(time.Hour - time.Since(task.SubmittedAt))
			}
			return nil, nil
		})
		start(t, p)
		synctest.Wait()
		submit(t, store, newTask("t1", "test.snooze"))
		for range 5 {
			time.Sleep(10 * time.Minute)
			if err := inspect(t, b).DeleteConsumer(t.Context(), "TASKS_default", "workers"); err != nil {
				t.Fatal(err)
			}
		}
		written := streamState(t, b, "KV_results").LastSeq
		r := finishedIn(t, store, "t1", 24*time.Hour)
		if late := r.FinishedAt.Sub(r.SubmittedAt) - time.Hour; late < 0 || late > 5*time.Second {
			t.Errorf("it ran %s after it was due", late)
		}
		if written > 2 { // and one is the note of the floor
			t.Errorf("there were %d writes while it slept, want one of its record", written)
		}
	})
}
