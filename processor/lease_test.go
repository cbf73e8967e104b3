package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// A task may take many times its ack wait, and runs once all the same.
func TestLongTasksRunOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 100
		b := newBroker(t)
		var runs atomic.Int32
		for range 2 {
			p := newProcessor(t, open(t, b, streams.Config{AckWait: 2 * time.Second}), processor.Config{})
			handle(p, "test.long", func(ctx context.Context, _ millrace.RawTask) (any, error) {
				runs.Add(1)
				time.Sleep(10 * time.Second)
				return nil, ctx.Err()
			})
			start(t, p)
		}
		store := open(t, b, streams.Config{AckWait: 2 * time.Second})
		synctest.Wait()
		tasks := make([]millrace.RawTask, n)
		for i := range tasks {
			tasks[i] = newTask(fmt.Sprintf("t%d", i), "test.long")
		}
		submit(t, store, tasks...)
		for _, task := range tasks {
			want := record(task, millrace.Succeeded, attempt{took: 10 * time.Second})
			want.Result = json.RawMessage(`null`)
			wantRecord(t, want, finished(t, store, task.ID))
		}
		if runs.Load() != n {
			t.Errorf("%d tasks ran %d times", n, runs.Load())
		}
	})
}

// A worker that is cut off loses its lease: its handlers are told, another worker
// takes over, and whatever the first one comes to does not stand.
func TestCutOff(t *testing.T) {
	const ackWait = 3 * time.Second
	for name, comes := range map[string]func(ctx context.Context) (any, error){
		"gives up":         func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
		"fails for good":   func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, millrace.Permanent(ctx.Err()) },
		"snoozes":          func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, millrace.Snooze(0) },
		"panics":           func(ctx context.Context) (any, error) { <-ctx.Done(); panic("cut off") },
		"succeeds, too":    func(ctx context.Context) (any, error) { <-ctx.Done(); return "one", nil },
		"succeeds at last": func(context.Context) (any, error) { time.Sleep(time.Minute); return "one", nil },
		"fails at last":    func(context.Context) (any, error) { time.Sleep(time.Minute); return nil, errors.New("one") },
		"does not outlast": func(context.Context) (any, error) { time.Sleep(7 * time.Second); return "one", nil },
		"finishes unheard": func(context.Context) (any, error) { time.Sleep(1500 * time.Millisecond); return "one", nil },
		"fails unheard":    func(context.Context) (any, error) { time.Sleep(1500 * time.Millisecond); return nil, errors.New("one") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				cable := &line{Broker: b}
				one := newProcessor(t, open(t, cable, streams.Config{AckWait: ackWait}), processor.Config{Worker: "one"})
				told := make(chan time.Time, 1)
				handle(one, "test.slow", func(ctx context.Context, _ millrace.RawTask) (any, error) {
					context.AfterFunc(ctx, func() {
						if err := context.Cause(ctx); !strings.Contains(err.Error(), "lease") && !errors.Is(err, context.Canceled) {
							t.Errorf("told that %v", err)
						}
						told <- time.Now()
					})
					return comes(ctx)
				})
				start(t, one)
				store := open(t, b, streams.Config{AckWait: ackWait})
				synctest.Wait()
				task := newTask("t1", "test.slow")
				submit(t, store, task)
				time.Sleep(time.Second)
				cable.cut()
				cut := time.Now()

				two := newProcessor(t, store, processor.Config{Worker: "two"})
				handle(two, "test.slow", func(context.Context, millrace.RawTask) (any, error) { time.Sleep(10 * time.Second); return "two", nil })
				stopTwo := start(t, two)
				if late := (<-told).Sub(cut); late > ackWait+500*time.Millisecond {
					t.Errorf("the handler was told %s after the cut", late)
				}
				got := finished(t, store, "t1")
				if string(got.Result) != `"two"` || len(got.Attempts) != 1 || got.Attempts[0].Worker != "two" || got.Lost != 1 {
					t.Errorf("its record: %+v", got)
				}
				cable.mend()
				time.Sleep(2 * time.Minute)
				wantRecord(t, got, lookup(t, store, "t1"))
				if all := dead(t, b); len(all) > 0 {
					t.Errorf("dead: %v", all)
				}

				stopTwo()
				submit(t, store, newTask("t2", echo))
				if r := finished(t, store, "t2"); r.Attempts[0].Worker != "one" {
					t.Errorf("the worker that was cut off does not work again: %+v", r)
				}
			})
		})
	}
}

// When the broker is away for less than the lease lasts, nobody notices.
func TestBrokerAwayBriefly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		var runs atomic.Int32
		sleep := func(ctx context.Context, task millrace.RawTask) (any, error) {
			runs.Add(1)
			var seconds int
			if err := json.Unmarshal(task.Args, &seconds); err != nil {
				return nil, err
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(seconds) * time.Second):
			}
			return seconds, ctx.Err()
		}
		handle(p, "test.sleep", sleep)
		start(t, p)
		synctest.Wait()
		var tasks []millrace.RawTask
		for _, n := range []int{1, 5, 9, 100} { // before, during, and after the outage
			task := newTask(fmt.Sprintf("t%d", n), "test.sleep")
			task.Args = json.RawMessage(fmt.Sprint(n))
			tasks = append(tasks, task)
		}
		submit(t, store, tasks...)
		time.Sleep(3 * time.Second)
		b.Stop()
		time.Sleep(5 * time.Second)
		b.Start()
		eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
		for i, n := range []int{1, 5, 9, 100} {
			want := record(tasks[i], millrace.Succeeded, attempt{took: time.Duration(n) * time.Second})
			want.Result = json.RawMessage(fmt.Sprint(n))
			got := finishedIn(t, store, tasks[i].ID, time.Hour)
			if n == 5 { // its record waited for the broker
				got.FinishedAt, got.ExpiresAt = want.FinishedAt, want.ExpiresAt
			}
			wantRecord(t, want, got)
		}
		if n := runs.Load(); n != 4 {
			t.Errorf("four tasks ran %d times", n)
		}
	})
}

// When it is away for longer, handlers are told, and the tasks run again.
func TestBrokerAwayForLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const ackWait = 4 * time.Second
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: ackWait})
		p := newProcessor(t, store, processor.Config{})
		var runs, told atomic.Int32
		handle(p, "test.wait", func(ctx context.Context, task millrace.RawTask) (any, error) {
			if runs.Add(1) > 20 {
				return "again", nil
			}
			<-ctx.Done()
			if strings.Contains(context.Cause(ctx).Error(), "lease") {
				told.Add(1)
			}
			return nil, ctx.Err()
		})
		start(t, p)
		synctest.Wait()
		tasks := make([]millrace.RawTask, 20)
		for i := range tasks {
			tasks[i] = newTask(fmt.Sprintf("t%d", i), "test.wait")
		}
		submit(t, store, tasks...)
		time.Sleep(10 * time.Second)
		b.Stop()
		time.Sleep(ackWait + time.Second)
		if told.Load() != 20 {
			t.Errorf("%d of 20 handlers were told in %s", told.Load(), ackWait+time.Second)
		}
		time.Sleep(time.Minute)
		b.Start()
		eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
		for _, task := range tasks {
			r := finished(t, store, task.ID)
			if r.State != millrace.Succeeded || len(r.Attempts) != 1 || string(r.Result) != `"again"` || r.Lost > 1 {
				t.Errorf("%+v", r)
			}
		}
		if n := runs.Load(); n != 40 {
			t.Errorf("20 tasks ran %d times, want twice each", n)
		}
	})
}
