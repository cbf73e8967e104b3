package processor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
)

func TestJudge(t *testing.T) {
	boom := errors.New("boom")
	plain := terms{maxAttempts: 4, backoff: millrace.Backoff{Policy: millrace.Exponential, Delay: millrace.Duration(time.Second)}, timeout: time.Minute}
	final := terms{maxAttempts: 1, backoff: millrace.DefaultBackoff()}
	for name, c := range map[string]struct {
		err, cause error
		attempt    int
		terms      terms
		want       outcome
	}{
		"success":                         {nil, nil, 1, plain, outcome{state: millrace.Succeeded, counts: true}},
		"success after the time was up":   {nil, context.DeadlineExceeded, 1, plain, outcome{state: millrace.Succeeded, counts: true}},
		"success during shutdown":         {nil, errShutdown, 1, plain, outcome{state: millrace.Succeeded, counts: true}},
		"first failure":                   {boom, nil, 1, plain, outcome{state: millrace.Retrying, counts: true, delay: time.Second, reason: "boom"}},
		"third failure":                   {boom, nil, 3, plain, outcome{state: millrace.Retrying, counts: true, delay: 4 * time.Second, reason: "boom"}},
		"last failure":                    {boom, nil, 4, plain, outcome{state: millrace.Failed, counts: true, reason: "boom"}},
		"one attempt only":                {boom, nil, 1, final, outcome{state: millrace.Failed, counts: true, reason: "boom"}},
		"permanent":                       {millrace.Permanent(boom), nil, 1, plain, outcome{state: millrace.Failed, counts: true, reason: "boom"}},
		"permanent, wrapped":              {fmt.Errorf("charge: %w", millrace.Permanent(boom)), nil, 1, plain, outcome{state: millrace.Failed, counts: true, reason: "charge: boom"}},
		"permanent during shutdown":       {millrace.Permanent(boom), errShutdown, 1, plain, outcome{state: millrace.Failed, counts: true, reason: "boom"}},
		"snooze":                          {millrace.Snooze(time.Hour), nil, 4, plain, outcome{state: millrace.Scheduled, delay: time.Hour}},
		"snooze, wrapped":                 {fmt.Errorf("bank: %w", millrace.Snooze(time.Hour)), nil, 1, plain, outcome{state: millrace.Scheduled, delay: time.Hour}},
		"snooze for less than no time":    {millrace.Snooze(-time.Hour), nil, 1, plain, outcome{state: millrace.Scheduled}},
		"permanent and a snooze":          {errors.Join(millrace.Snooze(time.Hour), millrace.Permanent(boom)), nil, 1, plain, outcome{state: millrace.Failed, counts: true, reason: "snooze for 1h0m0s\nboom"}},
		"a snooze that wraps permanent":   {fmt.Errorf("%w: %w", millrace.Snooze(time.Hour), millrace.Permanent(boom)), nil, 1, plain, outcome{state: millrace.Failed, counts: true, reason: "snooze for 1h0m0s: boom"}},
		"a panic with a permanent error":  {&panicError{millrace.Permanent(boom), "stack"}, nil, 1, plain, outcome{state: millrace.Retrying, counts: true, delay: time.Second, reason: "panic: boom", stack: "stack"}},
		"a panic during shutdown":         {&panicError{"oops", "stack"}, errShutdown, 1, plain, outcome{state: millrace.Pending}},
		"a snooze during shutdown":        {millrace.Snooze(time.Hour), errShutdown, 1, plain, outcome{state: millrace.Scheduled, delay: time.Hour}},
		"shutdown of the last attempt":    {context.Canceled, errShutdown, 4, final, outcome{state: millrace.Pending}},
		"the lease lost":                  {context.Canceled, errLeaseLost, 1, plain, outcome{state: millrace.Retrying, counts: true, delay: time.Second, reason: "context canceled"}},
		"timed out for the last time":     {context.DeadlineExceeded, context.DeadlineExceeded, 4, plain, outcome{state: millrace.Failed, counts: true, reason: "timed out after 1m0s: context deadline exceeded"}},
		"a panic when the time was up":    {&panicError{"oops", "stack"}, context.DeadlineExceeded, 1, plain, outcome{state: millrace.Retrying, counts: true, delay: time.Second, reason: "timed out after 1m0s: panic: oops", stack: "stack"}},
		"more attempts than there are":    {boom, nil, 9, plain, outcome{state: millrace.Failed, counts: true, reason: "boom"}},
		"shutdown":                        {context.Canceled, errShutdown, 4, plain, outcome{state: millrace.Pending}},
		"a panic":                         {&panicError{"oops", "stack"}, nil, 1, plain, outcome{state: millrace.Retrying, counts: true, delay: time.Second, reason: "panic: oops", stack: "stack"}},
		"the last panic":                  {&panicError{"oops", "stack"}, nil, 4, plain, outcome{state: millrace.Failed, counts: true, reason: "panic: oops", stack: "stack"}},
		"timed out":                       {context.DeadlineExceeded, context.DeadlineExceeded, 1, plain, outcome{state: millrace.Retrying, counts: true, delay: time.Second, reason: "timed out after 1m0s: context deadline exceeded"}},
		"a deadline of the handler's own": {context.DeadlineExceeded, nil, 1, plain, outcome{state: millrace.Retrying, counts: true, delay: time.Second, reason: "context deadline exceeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(c.err, c.cause, c.attempt, c.terms, 0.5)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSuspicion(t *testing.T) {
	record := func(s millrace.State, lost int) *millrace.Record { return &millrace.Record{State: s, Lost: lost} }
	for name, c := range map[string]struct {
		record    *millrace.Record
		delivered uint64
		early     bool
		lost      int
		marked    bool
	}{
		"first delivery":                          {nil, 1, false, 0, false},
		"first as far as the server remembers":    {nil, 1, true, 0, true},
		"second delivery, nothing written":        {nil, 2, false, 1, true},
		"tenth delivery, nothing written":         {nil, 10, false, 1, true},
		"handed back in order":                    {record(millrace.Pending, 0), 2, false, 0, true},
		"retry":                                   {record(millrace.Retrying, 0), 2, false, 0, true},
		"retry of one that was lost before":       {record(millrace.Retrying, 2), 7, false, 2, true},
		"marked as running, and here it is again": {record(millrace.Running, 3), 4, false, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			lost, marked := suspicion(c.record, c.delivered, c.early)
			if lost != c.lost || marked != c.marked {
				t.Errorf("lost %d, marked %t; want %d, %t", lost, marked, c.lost, c.marked)
			}
		})
	}
}

func TestTerms(t *testing.T) {
	second, minute := millrace.Duration(time.Second), millrace.Duration(time.Minute)
	ofKind := millrace.Backoff{Policy: millrace.Fixed, Delay: second}
	ofTask := millrace.Backoff{Policy: millrace.Fixed, Delay: minute}
	kind := Kind{MaxAttempts: 7, Backoff: &ofKind, Timeout: time.Second, ResultTTL: time.Second}
	for name, c := range map[string]struct {
		kind    Kind
		options millrace.Options
		want    terms
	}{
		"defaults": {Kind{}, millrace.Options{}, terms{4, millrace.DefaultBackoff(), 0, 0, time.Hour}},
		"kind":     {kind, millrace.Options{}, terms{7, ofKind, time.Second, 31 * time.Second, time.Second}},
		"task": {
			kind,
			millrace.Options{MaxAttempts: 1, Backoff: &ofTask, Timeout: minute, ResultTTL: minute},
			terms{1, ofTask, time.Minute, 90 * time.Second, time.Minute},
		},
		"a record for longer than one is kept": {
			Kind{},
			millrace.Options{ResultTTL: math.MaxInt64},
			terms{4, millrace.DefaultBackoff(), 0, 0, 7 * 24 * time.Hour},
		},
		"a task that makes no sense": {
			kind,
			millrace.Options{MaxAttempts: -1, Backoff: &millrace.Backoff{Policy: millrace.List}, Timeout: -1},
			terms{7, ofKind, time.Second, 31 * time.Second, time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, handler{kind: c.kind}.terms(c.options), cmp.AllowUnexported(terms{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
