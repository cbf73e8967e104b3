package processor

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"

	"millrace"
	"millrace/streams"
)

// conclusion is the record after a run.
func conclusion(r millrace.Record, lost int, run millrace.Attempt, o outcome, result json.RawMessage) millrace.Record {
	now := time.Now().UTC()
	r.State, r.Lost, r.HeldBy = o.state, lost, ""
	r.NextAt, r.Error = time.Time{}, truncate(o.reason, maxError)
	if o.counts {
		run.EndedAt = now
		run.Error, run.Stack = r.Error, truncate(o.stack, maxStack)
		r.Attempts = append(slices.Clone(r.Attempts), run)
		if n := len(r.Attempts) - maxStacks; n > 0 {
			r.Attempts[n-1].Stack = ""
		}
	}
	switch o.state {
	case millrace.Succeeded:
		r.Result = result
		r.FinishedAt = now
	case millrace.Failed:
		r.FinishedAt = now
	case millrace.Retrying:
		r = waits(r, now, o.delay, millrace.WaitRetry)
	case millrace.Scheduled:
		r = waits(r, now, o.delay, cmp.Or(o.why, millrace.WaitSnooze))
	}
	return r
}

// waits is r put off.
func waits(r millrace.Record, since time.Time, delay time.Duration, why millrace.WaitCause) millrace.Record {
	r.NextAt = since.Add(delay)
	if last := streams.LastDue(); r.NextAt.After(last) {
		r.NextAt = last
	}
	if n := len(r.Waits); why == millrace.WaitPause && n > 0 && r.Waits[n-1].Why == why {
		since, r.Waits = r.Waits[n-1].Since, r.Waits[:n-1] // it is the same pause, as far as it matters
	}
	kept := r.Waits[max(0, len(r.Waits)-(maxWaits-1)):]
	r.Waits = append(slices.Clone(kept), millrace.Wait{Since: since, Until: r.NextAt, Why: why})
	return r
}

// How much of an error and of a stack a record keeps, in bytes, and how many of
// the last stacks and waits: a record has to fit in a message.
const (
	maxError  = 2 << 10
	maxStack  = 8 << 10
	maxStacks = 10
	maxWaits  = 20
)

func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// slim is r without what can be large.
func slim(r millrace.Record) millrace.Record {
	r.Attempts = slices.Clone(r.Attempts)
	for i := range r.Attempts {
		r.Attempts[i].Error, r.Attempts[i].Stack = "", ""
	}
	r.Error, r.Tags, r.Waits = truncate(r.Error, 100), nil, nil
	return r
}

// recordOf is the task's record as it stands, a new one if it has none, with what
// is to be added to it at the next opportunity.
func recordOf(j *job) millrace.Record {
	t := j.Task
	r := millrace.Record{ID: t.ID, Kind: t.Kind, Queue: t.Queue, State: millrace.Pending, Tags: t.Tags, SubmittedAt: t.SubmittedAt}
	if j.Record != nil {
		r = *j.Record
	}
	r.Deliveries = j.deliveries
	if said := j.said.Load(); said != nil {
		r.Progress = *said
	}
	return r
}

// running is the record of a task that runs.
func running(j *job) millrace.Record {
	r := recordOf(j)
	// If this worker dies, that is one more.
	r.State, r.Lost, r.NextAt = millrace.Running, j.lost+1, time.Time{}
	r.Claimed = r.Claimed || j.Task.Unique
	return r
}
