package processor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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
				if err := p.Ready(); err == nil || !strings.HasPrefix(err.Error(), "2 handlers do not return, of 4") {
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

// Who looks at the log sees of each handler that hangs where it does, and what it was to
// notice: also if it may take what it takes, and nobody wants what it comes to.
func TestTheLogTellsWhereHandlersHang(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		cable := &line{Broker: b}
		store := open(t, cable, streams.Config{})
		var told bytes.Buffer
		p := newProcessor(t, store, processor.Config{
			CancelGrace: 5 * time.Second, Logger: slog.New(slog.NewJSONHandler(&told, &slog.HandlerOptions{Level: slog.LevelError})),
		})
		var dug atomic.Int32
		handle(p, "test.deep", func(context.Context, millrace.RawTask) (any, error) { dig(200, &dug); return nil, nil })
		handle(p, "test.aside", func(context.Context, millrace.RawTask) (any, error) {
			deeper := make(chan bool)
			go func() { dig(3, &dug); close(deeper) }()
			<-deeper
			return nil, nil
		})
		handle(p, "test.far", func(context.Context, millrace.RawTask) (any, error) { time.Sleep(10 * time.Minute); return nil, nil })
		start(t, p)
		submit(t, store, newTask("deep", "test.deep"), newTask("aside", "test.aside"), newTask("far", "test.far"))
		time.Sleep(time.Second)
		cancelTask(t, store, "deep")
		cancelTask(t, store, "aside")
		time.Sleep(10 * time.Second)
		cable.cut()
		time.Sleep(2 * time.Minute)
		cable.mend()
		synctest.Wait()
		said := map[string]struct{ Task, Error, Stack string }{}
		for line := range bytes.Lines(told.Bytes()) {
			var entry struct{ Task, Error, Stack string }
			if err := json.Unmarshal(line, &entry); err != nil {
				t.Fatal(err)
			}
			said[entry.Task] = entry
		}
		for id, want := range map[string][]string{
			"deep":  {"cancelled: the handler did not return within 5s", "processor_test.dig", "time.Sleep"},
			"aside": {"cancelled: the handler did not return within 5s", "TestTheLogTellsWhereHandlersHang", "chan receive"},
			"far":   {"lease lost: the handler did not return within 5s", "TestTheLogTellsWhereHandlersHang", "time.Sleep"},
		} {
			got := said[id]
			if got.Error != want[0] {
				t.Errorf("of %s it is said that %q, want %q", id, got.Error, want[0])
			}
			for _, words := range want[1:] {
				if !strings.Contains(got.Stack, words) {
					t.Errorf("the stack of %s does not show %s:\n%s", id, words, got.Stack)
				}
			}
			if strings.Contains(got.Stack, "\n\n") {
				t.Errorf("there are more stacks than that of %s:\n%s", id, got.Stack)
			}
		}
		time.Sleep(10 * time.Minute)
		if dug.Load() != 2 {
			t.Errorf("%d have come back from below", dug.Load())
		}
	})
}

func dig(depth int, dug *atomic.Int32) {
	if depth > 0 {
		dig(depth-1, dug)
		return
	}
	time.Sleep(10 * time.Minute)
	dug.Add(1)
}
