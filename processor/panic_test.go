package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

func TestPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		handle(p, "test.panic", func(_ context.Context, task millrace.RawTask) (any, error) {
			switch task.Attempt {
			case 1:
				panic("oops")
			case 2:
				return []string{}[task.Attempt], nil
			case 3:
				panic(errors.New(strings.Repeat("€", 2000)))
			}
			return nil, nil
		})
		start(t, p)
		task := newTask("t1", "test.panic")
		submit(t, store, task)
		got := finishedIn(t, store, "t1", time.Hour)
		long := "panic: " + strings.Repeat("€", 680) + "…" // 2 KiB, and whole characters
		want := record(task, millrace.Succeeded,
			attempt{err: "panic: oops", panics: true},
			attempt{after: 30 * time.Second, err: "panic: runtime error: index out of range [2] with length 0", panics: true},
			attempt{after: 30 * time.Second, err: long, panics: true},
			attempt{after: 30 * time.Second})
		want.Result, want.Error = json.RawMessage(`null`), ""
		wantRecord(t, want, got)
		for _, a := range got.Attempts[:3] {
			if !strings.Contains(a.Stack, "panic_test.go") || len(a.Stack) > 8<<10+3 {
				t.Errorf("attempt %d has a stack of %d bytes, which does not show where it happened:\n%s", a.Number, len(a.Stack), a.Stack)
			}
		}
	})
}

// A handler that ends its goroutine, as a test's FailNow does, has failed, and its
// place is free again.
func TestGoexit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{Concurrency: 1})
		handle(p, "test.exit", func(_ context.Context, task millrace.RawTask) (any, error) {
			if task.Attempt == 1 {
				runtime.Goexit()
			}
			return nil, nil
		})
		start(t, p)
		task := newTask("t1", "test.exit")
		submit(t, store, task)
		got := finishedIn(t, store, "t1", time.Hour)
		if got.State != millrace.Succeeded || len(got.Attempts) != 2 || !strings.Contains(got.Attempts[0].Error, "ended its goroutine") {
			t.Errorf("%+v", got)
		}
	})
}

// However often and however loudly a task fails, its record can be written.
func TestManyLoudFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const attempts = 120
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		handle(p, "test.panic", func(context.Context, millrace.RawTask) (any, error) { panic(strings.Repeat("\x00", 4<<10)) })
		start(t, p)
		task := newTask("t1", "test.panic")
		task.MaxAttempts, task.Backoff = attempts, &millrace.Backoff{}
		submit(t, store, task)
		got := finishedIn(t, store, "t1", time.Hour)
		if got.State != millrace.Failed || len(got.Attempts) != attempts || got.Error == "" {
			t.Errorf("%s after %d attempts: %.100q", got.State, len(got.Attempts), got.Error)
		}
		if _, ok := dead(t, b)["t1"]; !ok {
			t.Error("it is not among the dead")
		}
	})
}
