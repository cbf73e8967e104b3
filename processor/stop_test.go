package processor_test

import (
	"context"
	"encoding/json"
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

func submitMany(t *testing.T, store *streams.Store, kind string, n int) []millrace.RawTask {
	t.Helper()
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprintf("t%d", i), kind)
	}
	submit(t, store, tasks...)
	return tasks
}

// Whoever has nothing to do stops at once, and so does whoever waits for a broker
// that is away.
func TestStopWhenIdle(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprint("broker away: ", away), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				p := newProcessor(t, store, processor.Config{})
				stop := start(t, p)
				submit(t, store, newTask("t1", echo))
				finished(t, store, "t1")
				if err := p.Ready(); err != nil {
					t.Error(err)
				}
				if away {
					b.Stop()
				}
				time.Sleep(10 * time.Second)
				asked := time.Now()
				stop()
				if took := time.Since(asked); took > 10*time.Millisecond {
					t.Errorf("it took %s", took)
				}
				if err := p.Ready(); err == nil || err.Error() != "the worker is stopping" {
					t.Errorf("ready for more: %v", err)
				}
			})
		})
	}
}

// What runs may go on for the grace. What does not run yet is handed back, at no
// cost, and done by another worker at once.
func TestGracefulStop(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration // a task
		after time.Duration // the stop
		stops time.Duration // takes so long
		done  int           // by the worker that stops
	}{
		"with long tasks":             {20 * time.Second, 5 * time.Second, 15 * time.Second, 10},
		"before any task is done":     {3 * time.Second, 0, 3 * time.Second, 10},
		"with tasks in its buffer":    {800 * time.Millisecond, 2500 * time.Millisecond, 700 * time.Millisecond, 40},
		"in between":                  {2 * time.Second, 4100 * time.Millisecond, 1900 * time.Millisecond, 30},
		"with more than its grace":    {time.Hour, 5 * time.Second, 30 * time.Second, 0},
		"with exactly its grace":      {31 * time.Second, 2 * time.Second, 29 * time.Second, 10},
		"with tasks that are no work": {time.Nanosecond, time.Second, 0, 100},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const n = 100
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				one := newProcessor(t, store, processor.Config{Worker: "one", Concurrency: 10})
				handle(one, "test.work", func(ctx context.Context, _ millrace.RawTask) (any, error) {
					select {
					case <-time.After(c.takes):
						return "done", nil
					case <-ctx.Done():
						if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "shutting down") {
							t.Errorf("told that %v", cause)
						}
						return nil, ctx.Err()
					}
				})
				tasks := submitMany(t, store, "test.work", n)
				stop := start(t, one)
				synctest.Wait()
				time.Sleep(c.after)
				asked := time.Now()
				stop()
				if took := time.Since(asked); took < c.stops || took > c.stops+100*time.Millisecond {
					t.Errorf("it took %s, want %s", took, c.stops)
				}

				two := newProcessor(t, open(t, b, streams.Config{}), processor.Config{Worker: "two", Concurrency: n})
				handle(two, "test.work", func(context.Context, millrace.RawTask) (any, error) { return "done", nil })
				began := time.Now()
				start(t, two)
				by := map[string]int{}
				for _, task := range tasks {
					got := finished(t, store, task.ID)
					if got.State != millrace.Succeeded || len(got.Attempts) != 1 || got.Lost > 1 {
						t.Errorf("%+v", got)
					}
					by[got.Attempts[0].Worker]++
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("the rest was done after %s", took)
				}
				if by["one"] != c.done || by["two"] != n-c.done {
					t.Errorf("done by %v, want %d by the first", by, c.done)
				}
			})
		})
	}
}

// A task of which a worker was merely stopped has not lost it.
func TestStopsDoNotKill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		tasks := submitMany(t, store, "test.work", 200)
		for range 12 {
			p := newProcessor(t, store, processor.Config{Concurrency: 10, Grace: time.Second, MaxLost: 2})
			handle(p, "test.work", func(ctx context.Context, _ millrace.RawTask) (any, error) { <-ctx.Done(); return nil, ctx.Err() })
			stop := start(t, p)
			time.Sleep(1500 * time.Millisecond)
			stop()
		}
		p := newProcessor(t, store, processor.Config{MaxLost: 2})
		handle(p, "test.work", func(context.Context, millrace.RawTask) (any, error) { return "done", nil })
		start(t, p)
		for _, task := range tasks {
			want := record(task, millrace.Succeeded, attempt{after: 12 * 2500 * time.Millisecond})
			want.Result = json.RawMessage(`"done"`)
			wantRecord(t, want, finished(t, store, task.ID))
		}
	})
}

// A handler that does not care about its context is not waited for. Its task is
// handed back, and what it comes to later does not stand.
func TestStubbornHandlers(t *testing.T) {
	for name, comes := range map[string]func() (any, error){
		"and succeed": func() (any, error) { return "one", nil },
		"and fail":    func() (any, error) { return nil, millrace.Permanent(fmt.Errorf("one")) },
		"and panic":   func() (any, error) { panic("one") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				one := newProcessor(t, store, processor.Config{Worker: "one", Grace: 3 * time.Second})
				var returned atomic.Int32
				handle(one, "test.work", func(context.Context, millrace.RawTask) (any, error) {
					time.Sleep(time.Minute)
					returned.Add(1)
					return comes()
				})
				stop := start(t, one)
				synctest.Wait()
				tasks := submitMany(t, store, "test.work", 20)
				time.Sleep(time.Second)
				asked := time.Now()
				stop()
				if took := time.Since(asked); took > 6*time.Second {
					t.Errorf("it took %s", took)
				}
				two := newProcessor(t, store, processor.Config{Worker: "two"})
				handle(two, "test.work", func(context.Context, millrace.RawTask) (any, error) {
					time.Sleep(2 * time.Minute) // is in the middle of it when the other returns
					return "two", nil
				})
				began := time.Now()
				start(t, two)
				for _, task := range tasks {
					got := finishedIn(t, store, task.ID, time.Hour)
					if string(got.Result) != `"two"` || len(got.Attempts) != 1 || got.Attempts[0].Worker != "two" {
						t.Errorf("%+v", got)
					}
				}
				if took := time.Since(began); took > 3*time.Minute {
					t.Errorf("the other worker took %s", took)
				}
				if returned.Load() != 20 {
					t.Errorf("%d of 20 stubborn handlers have returned", returned.Load())
				}
				if all := dead(t, b); len(all) > 0 {
					t.Errorf("dead: %v", all)
				}
			})
		})
	}
}

// An outcome that waits for the broker holds a stop up for the grace at most.
func TestStopWithoutBroker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{Grace: 5 * time.Second})
		handle(p, "test.work", func(context.Context, millrace.RawTask) (any, error) { time.Sleep(2 * time.Second); return "done", nil })
		stop := start(t, p)
		synctest.Wait()
		tasks := submitMany(t, store, "test.work", 20)
		time.Sleep(time.Second)
		b.Stop()
		time.Sleep(2 * time.Second)
		asked := time.Now()
		stop()
		if took := time.Since(asked); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		b.Start()
		eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
		p = newProcessor(t, store, processor.Config{})
		handle(p, "test.work", func(context.Context, millrace.RawTask) (any, error) { return "again", nil })
		start(t, p)
		for _, task := range tasks {
			if r := finishedIn(t, store, task.ID, time.Hour); r.State != millrace.Succeeded || len(r.Attempts) != 1 {
				t.Errorf("%+v", r)
			}
		}
	})
}
