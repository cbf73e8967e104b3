package processor_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// The handler of a task that is called off is told, and whatever it comes to does not
// stand. One that does not listen gives its place back after the grace.
func TestCancelRunning(t *testing.T) {
	const grace = 5 * time.Second
	for name, c := range map[string]struct {
		comes func(ctx context.Context) (any, error)
		place time.Duration // is free again after
	}{
		"it gives up":       {func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, ctx.Err() }, 0},
		"it fails for good": {func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, millrace.Permanent(ctx.Err()) }, 0},
		"it snoozes":        {func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, millrace.Snooze(time.Minute) }, 0},
		"it panics":         {func(ctx context.Context) (any, error) { <-ctx.Done(); panic("oops") }, 0},
		"it succeeds": {func(ctx context.Context) (any, error) {
			<-ctx.Done()
			time.Sleep(3 * time.Second)
			return "done", nil
		}, 3 * time.Second},
		"it does not listen, and succeeds": {func(context.Context) (any, error) { time.Sleep(10 * time.Minute); return "done", nil }, grace},
		"it does not listen, and fails":    {func(context.Context) (any, error) { time.Sleep(10 * time.Minute); return nil, errors.New("no luck") }, grace},
	} {
		for when, after := range map[string]time.Duration{"": 3 * time.Second, ", checked out": 3 * time.Minute} {
			t.Run(name+when, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := newBroker(t)
					store := open(t, b, streams.Config{})
					p := newProcessor(t, store, processor.Config{Concurrency: 1, CancelGrace: grace})
					var runs atomic.Int32
					handle(p, "test.work", func(ctx context.Context, _ millrace.RawTask) (any, error) {
						runs.Add(1)
						stop := context.AfterFunc(ctx, func() {
							if cause := context.Cause(ctx); !errors.Is(cause, millrace.ErrCancelled) {
								t.Errorf("told that %v", cause)
							}
						})
						defer stop()
						return c.comes(ctx)
					})
					start(t, p)
					synctest.Wait()
					submit(t, store, newTask("t1", "test.work"))
					time.Sleep(after)
					submit(t, store, newTask("next", echo))
					called := time.Now()
					cancelTask(t, store, "t1")
					want := lookup(t, store, "t1")
					if want.State != millrace.Cancelled || want.Lost != 0 {
						t.Errorf("it is %+v", want)
					}
					if got := finished(t, store, "next").FinishedAt.Sub(called); got < c.place || got > c.place+500*time.Millisecond {
						t.Errorf("its place was free after %s, want %s", got, c.place)
					}
					time.Sleep(15 * time.Minute)
					wantRecord(t, want, lookup(t, store, "t1"))
					if runs.Load() != 1 {
						t.Errorf("it ran %d times", runs.Load())
					}
					if err := p.Ready(); err != nil {
						t.Error(err)
					}
					wantNothingLeft(t, b, store)
				})
			})
		}
	}
}

// wantNothingLeft checks that no task waits or is under way, nor lies among the dead.
func wantNothingLeft(t *testing.T, b *broker.Broker, store *streams.Store) {
	t.Helper()
	if held, waiting := underWay(t, b), waitingTasks(t, b, store); held != 0 || waiting != 0 {
		t.Errorf("%d tasks are held and %d wait", held, waiting)
	}
	if all := dead(t, b); len(all) > 0 {
		t.Errorf("dead: %v", all)
	}
}

// A task that does not run when it is called off does not run any more.
func TestCancelBeforeItRuns(t *testing.T) {
	fail := func(int) (any, error) { return nil, errors.New("no luck") }
	for name, c := range map[string]struct {
		comes func(run int) (any, error) // t1
		at    time.Duration
		delay time.Duration // of its submission
		blind time.Duration // other tasks keep the only place for so long
		state millrace.State
		runs  int32
	}{
		"pending":              {fail, time.Second, 0, time.Minute, millrace.Pending, 0},
		"scheduled":            {fail, time.Second, time.Hour, 0, millrace.Scheduled, 0},
		"retrying soon":        {fail, time.Second, 0, 0, millrace.Retrying, 1},
		"retrying, parked":     {fail, time.Minute, 0, 0, millrace.Retrying, 5},
		"snoozing":             {func(int) (any, error) { return nil, millrace.Snooze(time.Hour) }, time.Second, 0, 0, millrace.Scheduled, 1},
		"in the worker's hand": {fail, 800 * time.Millisecond, 0, 0, millrace.Running, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				p := newProcessor(t, store, processor.Config{Concurrency: 1})
				var runs atomic.Int32
				processor.Handle(p, "test.work", func(_ context.Context, task millrace.RawTask) (any, error) {
					return c.comes(int(runs.Add(1)))
				}, processor.Kind{MaxAttempts: 99, Backoff: &millrace.Backoff{
					Policy: millrace.List, Delays: seconds(4, 4, 4, 4, 3600),
				}})
				handle(p, "test.block", func(context.Context, millrace.RawTask) (any, error) { time.Sleep(c.blind); return nil, nil })
				handle(p, "test.quick", func(context.Context, millrace.RawTask) (any, error) {
					time.Sleep(500 * time.Millisecond)
					return nil, nil
				})
				start(t, p)
				synctest.Wait()
				switch {
				case c.blind > 0:
					submit(t, store, newTask("block", "test.block"))
				case c.state == millrace.Running:
					submit(t, store, newTask("q1", "test.quick"), newTask("q2", "test.quick"))
				}
				time.Sleep(100 * time.Millisecond)
				task := newTask("t1", "test.work")
				if err := store.SubmitAt(t.Context(), task, time.Now().Add(c.delay)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.at)
				if r := lookup(t, store, "t1"); r.State != c.state {
					t.Errorf("it is %s", r.State)
				}
				before := runs.Load()
				cancelTask(t, store, "t1")
				want := lookup(t, store, "t1")
				if want.State != millrace.Cancelled || !want.NextAt.IsZero() || len(want.Attempts) > int(before) {
					t.Errorf("it is %+v", want)
				}
				time.Sleep(58 * time.Minute)
				wantRecord(t, want, lookup(t, store, "t1"))
				time.Sleep(10 * time.Minute)
				if before != c.runs || runs.Load() != before {
					t.Errorf("it ran %d times, and %d before it was called off, want %d", runs.Load(), before, c.runs)
				}
				wantNothingLeft(t, b, store)
			})
		})
	}
}
