package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
)

// outcome is what becomes of a task after a run.
type outcome struct {
	state millrace.State
	// counts is whether the run was an attempt.
	counts bool
	// delay is how long the task waits, if it is not final.
	delay time.Duration
	// why it waits, empty for what its handler or its backoff says.
	why millrace.WaitCause
	// reason is the error to show, empty if there is none.
	reason string
	stack  string
}

// judge decides what a run means: attempt is its number, err what the handler
// returned, cause why its context ended (nil if it did not), and random, in
// [0, 1), the jitter.
//
//	nil                    succeeded
//	shutdown               pending, at once and free of charge
//	Snooze(d)              scheduled in d, free of charge
//	Permanent(err)         failed
//	any other, attempts left   retrying after the backoff
//	any other, none left       failed
func judge(err, cause error, attempt int, t terms, random float64) outcome {
	var (
		snooze    *millrace.SnoozeError
		permanent *millrace.PermanentError
		panicked  *panicError
		stuck     *stuckError
	)
	switch {
	case err == nil:
		return outcome{state: millrace.Succeeded, counts: true}
	case errors.As(err, &permanent):
		return outcome{state: millrace.Failed, counts: true, reason: err.Error()}
	case errors.As(err, &snooze):
		return outcome{state: millrace.Scheduled, delay: snooze.Delay}
	case errors.Is(cause, errShutdown):
		return outcome{state: millrace.Pending}
	}
	o := outcome{state: millrace.Retrying, counts: true, reason: err.Error()}
	if errors.As(err, &panicked) {
		o.stack = panicked.stack
	}
	if errors.As(err, &stuck) {
		o.stack = stuck.stack
	} else if errors.Is(cause, context.DeadlineExceeded) {
		o.reason = fmt.Sprintf("timed out after %s: %s", t.timeout, o.reason)
	}
	if attempt >= t.maxAttempts {
		o.state = millrace.Failed
		return o
	}
	o.delay = t.backoff.Wait(attempt, random)
	return o
}

// suspicion looks at a delivery before its handler is called. lost is how many
// deliveries of the task died with their worker. marked tells that this one must
// be written down before the handler runs, since it may die as well.
//
// Only the first delivery of a task goes unmarked, which keeps the happy way at
// two writes. A second one without a record means that the first died. early is
// for the server's count of deliveries being lost as well: when server and worker
// were one process, what they were at when it died looks as if it came for the
// first time.
func suspicion(r *millrace.Record, delivered uint64, early bool) (lost int, marked bool) {
	switch {
	case r != nil:
		// A running record counted its own delivery in advance.
		return r.Lost, true
	case delivered > 1:
		return 1, true
	}
	return 0, early
}
