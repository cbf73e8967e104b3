package processor

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"millrace"
	"millrace/streams"
)

func TestUnknownDelay(t *testing.T) {
	last := time.Duration(0)
	for _, delivered := range []uint64{0, 1, 2, 3, 5, 8, 20, 1 << 40, 1<<64 - 1} {
		d := unknownDelay(delivered)
		if d <= 0 || d > 30*time.Second {
			t.Errorf("at delivery %d it waits %s", delivered, d)
		}
		if delivered > 0 && d < last {
			t.Errorf("at delivery %d it waits %s, less than before", delivered, d)
		}
		if delivered > 0 {
			last = d
		}
	}
	if last != 30*time.Second {
		t.Errorf("in the end it waits %s, want 30s", last)
	}
}

func TestTruncate(t *testing.T) {
	for _, c := range []struct {
		s     string
		limit int
		want  string
	}{
		{"", 5, ""},
		{"abcde", 5, "abcde"},
		{"abcdef", 5, "abcde…"},
		{"ab€", 5, "ab€"},
		{"abc€", 5, "abc…"},
		{"€€", 2, "…"},
		{"\xff\xff\xff", 2, "\xff\xff…"},
	} {
		if got := truncate(c.s, c.limit); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.s, c.limit, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s, limit := rapid.String().Draw(t, "s"), rapid.IntRange(0, 50).Draw(t, "limit")
		got := truncate(s, limit)
		if head, cut := strings.CutSuffix(got, "…"); got != s && (!cut || !strings.HasPrefix(s, head) || len(head) > limit || !utf8.ValidString(head)) {
			t.Fatalf("%q to %d: %q", s, limit, got)
		}
	})
}

// The record after each outcome, from one that has run before.
func TestConclusion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		first := millrace.Attempt{Number: 1, StartedAt: now.Add(-time.Hour), EndedAt: now.Add(-time.Hour), Worker: "v", Error: "before"}
		before := millrace.Record{
			ID: "t1", Kind: "k", Queue: "q", State: millrace.Running, Attempts: []millrace.Attempt{first}, Error: "before", Tags: []string{"x"},
			SubmittedAt: now.Add(-2 * time.Hour), NextAt: now.Add(-time.Second), Lost: 3,
			Waits: slices.Grow([]millrace.Wait{{Since: now.Add(-time.Hour), Until: now.Add(-time.Second), Why: millrace.WaitRetry}}, 1),
		}
		run := millrace.Attempt{Number: 2, StartedAt: now.Add(-time.Minute), Worker: "w"}
		ended := func(err, stack string) []millrace.Attempt {
			second := run
			second.EndedAt, second.Error, second.Stack = now, err, stack
			return []millrace.Attempt{first, second}
		}
		for name, c := range map[string]struct {
			outcome outcome
			change  func(r *millrace.Record)
		}{
			"succeeded": {outcome{state: millrace.Succeeded, counts: true}, func(r *millrace.Record) {
				r.Attempts, r.Result, r.FinishedAt = ended("", ""), json.RawMessage(`1`), now
			}},
			"failed": {outcome{state: millrace.Failed, counts: true, reason: "boom", stack: "here"}, func(r *millrace.Record) {
				r.Attempts, r.Error, r.FinishedAt = ended("boom", "here"), "boom", now
			}},
			"failed without a run": {outcome{state: millrace.Failed, reason: "lost"}, func(r *millrace.Record) {
				r.Error, r.FinishedAt = "lost", now
			}},
			"retrying": {outcome{state: millrace.Retrying, counts: true, reason: "boom", delay: time.Minute}, func(r *millrace.Record) {
				r.Attempts, r.Error, r.NextAt = ended("boom", ""), "boom", now.Add(time.Minute)
				r.Waits = append(r.Waits, millrace.Wait{Since: now, Until: r.NextAt, Why: millrace.WaitRetry})
			}},
			"snoozed": {outcome{state: millrace.Scheduled, delay: time.Minute}, func(r *millrace.Record) {
				r.NextAt = now.Add(time.Minute)
				r.Waits = append(r.Waits, millrace.Wait{Since: now, Until: r.NextAt, Why: millrace.WaitSnooze})
			}},
			"snoozed beyond what the broker counts": {outcome{state: millrace.Scheduled, delay: math.MaxInt64}, func(r *millrace.Record) {
				r.NextAt = streams.LastDue()
				r.Waits = append(r.Waits, millrace.Wait{Since: now, Until: r.NextAt, Why: millrace.WaitSnooze})
			}},
			"handed back": {outcome{state: millrace.Pending}, func(*millrace.Record) {}},
		} {
			want := before
			want.Waits = slices.Clone(before.Waits)
			want.State, want.Lost, want.Error, want.NextAt = c.outcome.state, 2, "", time.Time{}
			c.change(&want)
			got := conclusion(before, 2, run, c.outcome, json.RawMessage(`1`))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if before.Attempts[0] != first || len(before.Attempts) != 1 || before.Waits[:2][1] != (millrace.Wait{}) {
			t.Error("the record before was changed")
		}
	})
}

// A record keeps every attempt, but only the last stacks.
func TestOldStacksAreDropped(t *testing.T) {
	r := millrace.Record{}
	for i := range 50 {
		o := outcome{state: millrace.Retrying, counts: true, reason: strings.Repeat("e", 9000), stack: strings.Repeat("s", 90_000)}
		r = conclusion(r, 0, millrace.Attempt{Number: i + 1}, o, nil)
	}
	stacks := 0
	for _, a := range r.Attempts {
		if a.Stack != "" {
			stacks++
		}
	}
	if len(r.Attempts) != 50 || stacks != maxStacks || r.Attempts[49].Stack == "" {
		t.Errorf("%d attempts with %d stacks", len(r.Attempts), stacks)
	}
	if data, err := json.Marshal(r); err != nil || len(data) > 512<<10 {
		t.Errorf("the record has %d bytes, %v", len(data), err)
	}
	if s := slim(r); len(s.Attempts) != 50 || len(s.Error) > 110 {
		t.Errorf("the slim one has %d attempts and says %q", len(s.Attempts), s.Error)
	}
}

// A record keeps the last waits, and none if it must be small.
func TestOldWaitsAreDropped(t *testing.T) {
	r := millrace.Record{}
	for i := range 50 {
		r = conclusion(r, 0, millrace.Attempt{}, outcome{state: millrace.Scheduled, delay: time.Duration(i) * time.Minute}, nil)
		if last := r.Waits[len(r.Waits)-1]; last.Until.Sub(last.Since) != time.Duration(i)*time.Minute || !last.Until.Equal(r.NextAt) {
			t.Errorf("the last of them is %+v", last)
		}
	}
	if first := r.Waits[0]; len(r.Waits) != maxWaits || first.Until.Sub(first.Since) != 30*time.Minute {
		t.Errorf("%d waits, from %+v", len(r.Waits), first)
	}
	if s := slim(r); len(s.Waits) != 0 {
		t.Errorf("the slim one has %d waits", len(s.Waits))
	}
}

// A handler cannot take its worker's place with it, however it ends.
func TestProtect(t *testing.T) {
	for name, c := range map[string]struct {
		call func() (json.RawMessage, error)
		err  string
	}{
		"returns":            {func() (json.RawMessage, error) { return json.RawMessage(`1`), nil }, ""},
		"panics":             {func() (json.RawMessage, error) { panic("oops") }, "panic: oops"},
		"panics with nil":    {func() (json.RawMessage, error) { panic(nil) }, "panic: panic called with nil argument"},
		"ends its goroutine": {func() (json.RawMessage, error) { runtime.Goexit(); return nil, nil }, errGoexit.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			h := handler{call: func(context.Context, []millrace.RawTask) ([]returned, error) {
				result, err := c.call()
				return []returned{{result: result}}, err
			}}
			all, err := (&Processor{}).protect(t.Context(), h, make([]millrace.RawTask, 1), 0)
			if c.err == "" && (err != nil || string(all[0].result) != "1") || c.err != "" && (err == nil || err.Error() != c.err) {
				t.Errorf("%v, %v; want the error %q", all, err, c.err)
			}
		})
	}
}

// Also a handler that never lets go of its processor shows where it is.
func TestStackOfALoop(t *testing.T) {
	var enough atomic.Bool
	defer enough.Store(true)
	h := handler{call: func(context.Context, []millrace.RawTask) ([]returned, error) {
		for !enough.Load() {
		}
		return nil, nil
	}}
	p := New(&streams.Store{}, Config{})
	_, err := p.protect(t.Context(), h, make([]millrace.RawTask, 1), time.Millisecond)
	stuck, ok := errors.AsType[*stuckError](err)
	if !ok || err.Error() != "timed out: the handler did not return within 1ms" || !strings.Contains(stuck.stack, "TestStackOfALoop") {
		t.Errorf("%v, at %+v", err, stuck)
	}
}
