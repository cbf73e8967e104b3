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
	"millrace/processor"
	"millrace/streams"
)

// A task may run for hours: once, with its queue's log trimmed past it, and nothing
// is left of its lease when it is done.
func TestTasksOfHours(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		state millrace.State
	}{
		"succeed": {nil, millrace.Succeeded},
		"fail":    {millrace.Permanent(errors.New("never")), millrace.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{AckWait: 30 * time.Second})
				var runs atomic.Int32
				for _, worker := range []string{"one", "two"} {
					p := newProcessor(t, store, processor.Config{Worker: worker})
					handle(p, "test.long", func(ctx context.Context, _ millrace.RawTask) (any, error) {
						runs.Add(1)
						time.Sleep(3 * time.Hour)
						return nil, errors.Join(c.err, ctx.Err())
					})
					start(t, p)
				}
				synctest.Wait()
				submit(t, store, newTask("t1", "test.long"), newTask("t2", "test.long"), newTask("t3", echo))
				time.Sleep(time.Hour)
				trim(t, store)
				if left := streamState(t, b, "TASKS_default").Msgs; left != 0 {
					t.Errorf("%d tasks hold the log", left)
				}
				if held := underWay(t, b); held != 0 {
					t.Errorf("%d tasks hold places with the consumer", held)
				}
				if r := lookup(t, store, "t1"); r.State != millrace.Running {
					t.Errorf("meanwhile %+v", r)
				}
				time.Sleep(2 * time.Hour)
				for _, id := range []string{"t1", "t2"} {
					r := finished(t, store, id)
					if r.State != c.state || len(r.Attempts) != 1 || r.Lost != 0 || r.Deliveries != 1 || r.Parked != 0 {
						t.Errorf("%+v", r)
					}
				}
				time.Sleep(10 * time.Minute)
				if runs.Load() != 2 {
					t.Errorf("2 tasks ran %d times", runs.Load())
				}
				if left := waitingTasks(t, b, store); left != 0 {
					t.Errorf("%d leases are left", left)
				}
			})
		})
	}
}

// A worker dies with a task that it has checked out: the task is back when its lease
// is over, and runs once more.
func TestDeathWithATaskCheckedOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const ackWait = 10 * time.Second
		b := newBroker(t)
		cable := &line{Broker: b}
		cut := open(t, cable, streams.Config{AckWait: ackWait})
		store := open(t, b, streams.Config{AckWait: ackWait})
		var runs atomic.Int32
		work := func(ctx context.Context, _ millrace.RawTask) (any, error) {
			n := runs.Add(1)
			select {
			case <-time.After(time.Hour):
				return n, nil
			case <-ctx.Done():
				return nil, millrace.Permanent(fmt.Errorf("run %d: %w", n, context.Cause(ctx)))
			}
		}
		one := newProcessor(t, cut, processor.Config{Worker: "one"})
		handle(one, "test.long", work)
		start(t, one)
		synctest.Wait()
		submit(t, store, newTask("t1", "test.long"))
		time.Sleep(10 * time.Minute)
		trim(t, store)
		cable.cut()
		two := newProcessor(t, store, processor.Config{Worker: "two"})
		handle(two, "test.long", work)
		start(t, two)
		time.Sleep(ackWait + 3*time.Second)
		if runs.Load() != 2 {
			t.Errorf("%s after the death it has run %d times, want twice", ackWait, runs.Load())
		}
		time.Sleep(time.Minute)
		cable.mend()
		time.Sleep(time.Hour)
		r := finished(t, store, "t1")
		if r.State != millrace.Succeeded || len(r.Attempts) != 1 || r.Attempts[0].Worker != "two" || r.Lost != 1 || r.Deliveries != 2 {
			t.Errorf("%+v", r)
		}
		if runs.Load() != 2 {
			t.Errorf("it ran %d times", runs.Load())
		}
		if left := waitingTasks(t, b, store); left != 0 {
			t.Errorf("%d leases are left", left)
		}
	})
}

// A worker that is stopped hands back what it has checked out: at once, and at no
// cost.
func TestStopWithATaskCheckedOut(t *testing.T) {
	for name, obedient := range map[string]bool{"whose handler ends": true, "whose handler does not": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				one := newProcessor(t, store, processor.Config{Worker: "one", Grace: time.Second})
				handle(one, "test.long", func(ctx context.Context, _ millrace.RawTask) (any, error) {
					if obedient {
						<-ctx.Done()
					} else {
						time.Sleep(time.Hour)
					}
					return "one", ctx.Err()
				})
				stop := start(t, one)
				synctest.Wait()
				task := newTask("t1", "test.long")
				task.MaxAttempts = 1
				submit(t, store, task)
				time.Sleep(10 * time.Minute)
				two := newProcessor(t, store, processor.Config{Worker: "two"})
				handle(two, "test.long", func(context.Context, millrace.RawTask) (any, error) { return "two", nil })
				start(t, two)
				stop()
				stopped := time.Now()
				r := finished(t, store, "t1")
				if string(r.Result) != `"two"` || len(r.Attempts) != 1 || r.Lost != 0 || r.Deliveries != 2 {
					t.Errorf("%+v", r)
				}
				if took := r.FinishedAt.Sub(stopped); took > 2*time.Second {
					t.Errorf("it was done %s after the stop", took)
				}
				time.Sleep(55 * time.Minute) // by then the other handler has returned
				wantRecord(t, r, lookup(t, store, "t1"))
				if left := waitingTasks(t, b, store); left != 0 {
					t.Errorf("%d leases are left", left)
				}
			})
		})
	}
}
