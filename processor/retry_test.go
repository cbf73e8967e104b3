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

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

func seconds(all ...float64) (out []millrace.Duration) {
	for _, n := range all {
		out = append(out, millrace.Duration(n*float64(time.Second)))
	}
	return out
}

// Each failure is tried again when its backoff says, never early, until the
// attempts are used up. Virtual time tells when exactly.
func TestRetries(t *testing.T) {
	fixed := &millrace.Backoff{Policy: millrace.Fixed, Delay: seconds(7)[0]}
	doubling := &millrace.Backoff{Policy: millrace.Exponential, Delay: seconds(1)[0], Max: seconds(5)[0]}
	list := &millrace.Backoff{Policy: millrace.List, Delays: seconds(0, 3600, 2)}
	for _, c := range []struct {
		name    string
		kind    processor.Kind
		options millrace.Options
		// fails is how often the handler does before it succeeds, and waits what
		// lies between its runs, in seconds.
		fails int
		waits []float64
		state millrace.State
	}{
		{"by default four runs, 30 s apart", processor.Kind{}, millrace.Options{}, 99, []float64{30, 30, 30}, millrace.Failed},
		{"the last of them succeeds", processor.Kind{}, millrace.Options{}, 3, []float64{30, 30, 30}, millrace.Succeeded},
		{"the second succeeds", processor.Kind{}, millrace.Options{}, 1, []float64{30}, millrace.Succeeded},
		{"the kind's attempts", processor.Kind{MaxAttempts: 2}, millrace.Options{}, 99, []float64{30}, millrace.Failed},
		{"the task's attempts", processor.Kind{MaxAttempts: 9}, millrace.Options{MaxAttempts: 1}, 99, nil, millrace.Failed},
		{"fixed, by the kind", processor.Kind{Backoff: fixed}, millrace.Options{}, 99, []float64{7, 7, 7}, millrace.Failed},
		{"doubling, by the task", processor.Kind{Backoff: fixed, MaxAttempts: 6}, millrace.Options{Backoff: doubling}, 99, []float64{1, 2, 4, 5, 5}, millrace.Failed},
		{"a list, by the task", processor.Kind{}, millrace.Options{Backoff: list, MaxAttempts: 5}, 99, []float64{0, 3600, 2, 2}, millrace.Failed},
		{"what makes no sense is ignored", processor.Kind{}, millrace.Options{Backoff: &millrace.Backoff{Policy: "x"}, MaxAttempts: -1}, 1, []float64{30}, millrace.Succeeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				p := newProcessor(t, store, processor.Config{})
				var runs atomic.Int32
				processor.Handle(p, "test.fail", func(_ context.Context, task millrace.RawTask) (any, error) {
					n := int(runs.Add(1))
					if task.Attempt != n {
						t.Errorf("run %d is told to be attempt %d", n, task.Attempt)
					}
					time.Sleep(time.Second)
					if n <= c.fails {
						return nil, fmt.Errorf("failure %d", n)
					}
					return n, nil
				}, c.kind)
				start(t, p)
				task := newTask("t1", "test.fail")
				task.Options = c.options
				submit(t, store, task)

				attempts := []attempt{{took: time.Second}}
				for _, wait := range c.waits {
					attempts = append(attempts, attempt{after: time.Duration(wait * float64(time.Second)), took: time.Second})
				}
				for i := range attempts {
					if i < c.fails {
						attempts[i].err = fmt.Sprintf("failure %d", i+1)
					}
				}
				want := record(task, c.state, attempts...)
				if c.state == millrace.Succeeded {
					want.Result = json.RawMessage(fmt.Sprint(len(attempts)))
				}
				got := finishedIn(t, store, "t1", 24*time.Hour)
				wantRecord(t, want, got)
				for i, wait := range c.waits {
					if gap := got.Attempts[i+1].StartedAt.Sub(got.Attempts[i].EndedAt); gap.Seconds() < wait {
						t.Errorf("attempt %d came after %s, earlier than it should", i+2, gap)
					}
				}
				if _, isDead := dead(t, b)["t1"]; isDead != (c.state == millrace.Failed) {
					t.Errorf("it %s; is it among the dead? %v", c.state, isDead)
				}
			})
		})
	}
}

// While it waits, a task tells what went wrong and when it is due.
func TestARetryingTaskTellsWhy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		handle(p, "test.fail", func(context.Context, millrace.RawTask) (any, error) { return nil, errors.New("the bank is closed") })
		handle(p, "test.snooze", func(context.Context, millrace.RawTask) (any, error) { return nil, millrace.Snooze(time.Hour) })
		start(t, p)
		failing, sleeping := newTask("failing", "test.fail"), newTask("sleeping", "test.snooze")
		submit(t, store, failing, sleeping)
		time.Sleep(10 * time.Second)

		want := record(failing, millrace.Retrying, attempt{err: "the bank is closed"})
		want.NextAt = failing.SubmittedAt.Add(30 * time.Second)
		wantRecord(t, want, lookup(t, store, "failing"))
		want = record(sleeping, millrace.Scheduled)
		want.NextAt = sleeping.SubmittedAt.Add(time.Hour)
		wantRecord(t, want, lookup(t, store, "sleeping"))
	})
}

// A snooze is no attempt, however often it is taken.
func TestSnoozeIsFree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		var runs atomic.Int32
		handle(p, "test.snooze", func(_ context.Context, task millrace.RawTask) (any, error) {
			n := runs.Add(1)
			switch {
			case n <= 10:
				if task.Attempt != 1 {
					t.Errorf("run %d is told to be attempt %d", n, task.Attempt)
				}
				return nil, fmt.Errorf("busy: %w", millrace.Snooze(time.Minute))
			case n == 11:
				return nil, errors.New("no luck")
			case n == 12:
				return nil, millrace.Snooze(time.Minute)
			}
			return "done", nil
		})
		start(t, p)
		task := newTask("t1", "test.snooze")
		task.MaxAttempts = 2
		submit(t, store, task)
		got := finishedIn(t, store, "t1", time.Hour)
		want := record(task, millrace.Succeeded, attempt{after: 10 * time.Minute, err: "no luck"}, attempt{after: 90 * time.Second})
		want.Result = json.RawMessage(`"done"`)
		// A delay is late by some ms each time.
		got.Attempts[0].StartedAt = got.Attempts[0].StartedAt.Truncate(time.Second)
		if late := got.FinishedAt.Sub(want.FinishedAt); late < 0 || late > time.Second {
			t.Errorf("finished %s after it should have", late)
		}
		if len(got.Attempts) != 2 || runs.Load() != 13 || string(got.Result) != `"done"` || got.Lost != 0 {
			t.Errorf("%d runs and %+v", runs.Load(), got)
		}
	})
}

// A finished task tells of each time that it waited: since when, until when, and why.
func TestWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		var runs atomic.Int32
		processor.Handle(p, "test.wait", func(context.Context, millrace.RawTask) (any, error) {
			time.Sleep(time.Second)
			switch runs.Add(1) {
			case 1, 3:
				return nil, errors.New("no luck")
			case 2:
				return nil, millrace.Snooze(time.Hour)
			}
			return nil, nil
		}, processor.Kind{Backoff: &millrace.Backoff{Policy: millrace.List, Delays: seconds(2, 60)}})
		start(t, p)
		synctest.Wait()
		task := newTask("t1", "test.wait")
		submit(t, store, task)
		var want []millrace.Wait
		since := task.SubmittedAt
		for _, w := range []struct {
			why   millrace.WaitCause
			lasts time.Duration
		}{{millrace.WaitRetry, 2 * time.Second}, {millrace.WaitSnooze, time.Hour}, {millrace.WaitRetry, time.Minute}} {
			since = since.Add(time.Second) // it runs
			want = append(want, millrace.Wait{Since: since, Until: since.Add(w.lasts), Why: w.why})
			since = since.Add(w.lasts)
		}
		got := finishedIn(t, store, "t1", 2*time.Hour)
		// What is parked comes back within a second of its time, each time.
		if diff := cmp.Diff(want, got.Waits, cmpopts.EquateApproxTime(3*time.Second)); diff != "" {
			t.Errorf("its waits (-want +got):\n%s", diff)
		}
		for i, w := range got.Waits {
			if exact := want[i].Until.Sub(want[i].Since); w.Until.Sub(w.Since) != exact {
				t.Errorf("wait %d is for %s, want %s", i, w.Until.Sub(w.Since), exact)
			}
		}
		for i, a := range got.Attempts[:2] {
			if w := got.Waits[2*i]; !w.Since.Equal(a.EndedAt) {
				t.Errorf("it waits since %s for the next attempt, and attempt %d ended at %s", w.Since, a.Number, a.EndedAt)
			}
		}
	})
}

// Time is up for one attempt, not for the task.
func TestTimeouts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		wait := func(ctx context.Context, task millrace.RawTask) (any, error) {
			if task.Attempt == 2 {
				return "in time", nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		processor.Handle(p, "test.wait", wait, processor.Kind{Timeout: 5 * time.Second})
		processor.Handle(p, "test.late", func(context.Context, millrace.RawTask) (any, error) {
			time.Sleep(10 * time.Second) // ignores its context, and does its work
			return "late", nil
		}, processor.Kind{Timeout: 5 * time.Second})
		start(t, p)
		byKind, byTask, late := newTask("kind", "test.wait"), newTask("task", "test.wait"), newTask("late", "test.late")
		byTask.Timeout = seconds(1)[0]
		submit(t, store, byKind, byTask, late)
		for _, c := range []struct {
			task millrace.RawTask
			time time.Duration
		}{{byKind, 5 * time.Second}, {byTask, time.Second}} {
			want := record(c.task, millrace.Succeeded,
				attempt{took: c.time, err: fmt.Sprintf("timed out after %s: context deadline exceeded", c.time)},
				attempt{after: 30 * time.Second})
			want.Result, want.Error = json.RawMessage(`"in time"`), ""
			wantRecord(t, want, finishedIn(t, store, c.task.ID, time.Hour))
		}
		want := record(late, millrace.Succeeded, attempt{took: 10 * time.Second})
		want.Result = json.RawMessage(`"late"`)
		wantRecord(t, want, finished(t, store, "late"))
	})
}
