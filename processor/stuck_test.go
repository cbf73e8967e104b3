package processor_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// A handler that does not return in time loses its place, and its attempt fails with
// the place where it hangs. What it returns late is dropped. When too many hang, the
// worker says that it is not ready, until they return.
func TestHandlersThatHang(t *testing.T) {
	for name, late := range map[string]func() (any, error){
		"and succeed":          func() (any, error) { return "late", nil },
		"and fail":             func() (any, error) { return nil, millrace.Permanent(errors.New("late")) },
		"and panic":            func() (any, error) { panic("late") },
		"and tell of progress": nil,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				p := newProcessor(t, store, processor.Config{Concurrency: 4})
				var returned atomic.Int32
				hang := func(ctx context.Context, task millrace.RawTask) (any, error) {
					if task.Attempt == 2 {
						return "again", nil
					}
					defer returned.Add(1)
					time.Sleep(20 * time.Minute)
					if late == nil {
						processor.Progress(ctx, 1, 1, "late")
						return nil, nil
					}
					return late()
				}
				kind := processor.Kind{Timeout: time.Minute, HardTimeout: 2 * time.Minute}
				processor.Handle(p, "test.hang", hang, kind)
				start(t, p)
				synctest.Wait()
				one := newTask("one", "test.hang")
				submit(t, store, one)
				time.Sleep(2*time.Minute + time.Second)
				if err := p.Ready(); err != nil {
					t.Errorf("with one of four: %v", err)
				}
				two := newTask("two", "test.hang")
				submit(t, store, two)
				time.Sleep(2*time.Minute + time.Second)
				if err := p.Ready(); !errors.Is(err, millrace.ErrUnavailable) || !strings.Contains(err.Error(), "2 handlers do not return, of 4") {
					t.Errorf("with two of four: %v", err)
				}
				for _, task := range []millrace.RawTask{one, two} {
					want := record(task, millrace.Succeeded,
						attempt{took: 2 * time.Minute, err: "timed out: the handler did not return within 2m0s", panics: true},
						attempt{after: 30 * time.Second})
					want.Result, want.Error = []byte(`"again"`), ""
					got := finishedIn(t, store, task.ID, time.Hour)
					wantRecord(t, want, got)
					if stack := got.Attempts[0].Stack; !strings.Contains(stack, "stuck_test.go") || !strings.Contains(stack, "time.Sleep") {
						t.Errorf("its stack does not show where it hangs:\n%s", stack)
					}
				}
				// All four places are there.
				began := time.Now()
				for _, task := range submitMany(t, store, echo, 50) {
					finished(t, store, task.ID)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("50 tasks took %s", took)
				}
				before := lookup(t, store, "one")
				time.Sleep(20 * time.Minute)
				if err := p.Ready(); err != nil || returned.Load() != 2 {
					t.Errorf("when %d have returned: %v", returned.Load(), err)
				}
				wantRecord(t, before, lookup(t, store, "one"))
				wantNothingLeft(t, b, store)
			})
		})
	}
}

// A task's own timeout moves its kind's hard one, and one that has none may take what
// it takes.
func TestHardTimeouts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		handle(p, "test.hang", func(context.Context, millrace.RawTask) (any, error) { time.Sleep(10 * time.Minute); return "late", nil })
		start(t, p)
		limited, free := newTask("limited", "test.hang"), newTask("free", "test.hang")
		limited.Timeout, limited.MaxAttempts = seconds(5)[0], 1
		submit(t, store, limited, free)
		want := record(limited, millrace.Failed, attempt{took: 35 * time.Second, err: "timed out: the handler did not return within 35s", panics: true})
		wantRecord(t, want, finishedIn(t, store, "limited", time.Minute))
		want = record(free, millrace.Succeeded, attempt{took: 10 * time.Minute})
		want.Result = []byte(`"late"`)
		wantRecord(t, want, finishedIn(t, store, "free", time.Hour))
	})
}
