package streams

import (
	"sync/atomic"

	"millrace"
)

// Counts is what was done in some time.
type Counts struct {
	// Submitted is how many tasks were taken in, Succeeded, Failed and Cancelled how many
	// came to that end, and Retried how many attempts failed that are followed by another.
	Submitted int64 `json:"submitted,omitzero"`
	Succeeded int64 `json:"succeeded,omitzero"`
	Failed    int64 `json:"failed,omitzero"`
	Cancelled int64 `json:"cancelled,omitzero"`
	Retried   int64 `json:"retried,omitzero"`
	// Lost is how many leases on tasks were lost while their handlers ran.
	Lost int64 `json:"lost,omitzero"`
	// Wait is from when a task could be carried out, as it lay in its queue and was due, to
	// when its handler was called; Run is from there to its outcome.
	Wait Histogram `json:"wait,omitempty"`
	Run  Histogram `json:"run,omitempty"`
}

func (c Counts) empty() bool {
	return c.Submitted|c.Succeeded|c.Failed|c.Cancelled|c.Retried|c.Lost == 0 && len(c.Wait)+len(c.Run) == 0
}

func (c *Counts) add(other Counts) {
	c.Submitted += other.Submitted
	c.Succeeded += other.Succeeded
	c.Failed += other.Failed
	c.Cancelled += other.Cancelled
	c.Retried += other.Retried
	c.Lost += other.Lost
	c.Wait = c.Wait.add(other.Wait)
	c.Run = c.Run.add(other.Run)
}

// tally counts what this process does, in a few nanoseconds for each task.
type tally struct {
	submitted, succeeded, failed, cancelled, retried, lost atomic.Int64

	wait, run counters
	lag       counters // from when something was due to when it was dealt with
	kinds     *Kinds
}

// ended counts a run of a delivery, after which its record says r.
func (t *tally) ended(d *Delivery, r *millrace.Record) {
	t.outcome(r)
	switch r.State {
	case millrace.Succeeded:
		t.succeeded.Add(1)
	case millrace.Failed:
		t.failed.Add(1)
	case millrace.Cancelled:
		t.cancelled.Add(1)
		return
	case millrace.Retrying:
		t.retried.Add(1)
	default: // put off, which is no attempt
		return
	}
	n := len(r.Attempts)
	if n == 0 {
		return
	}
	a := r.Attempts[n-1]
	if a.StartedAt.Before(d.Received) {
		return // it came to its end without having been run again
	}
	t.wait.count(a.StartedAt.Sub(d.ready))
	t.ran(r, a.EndedAt.Sub(a.StartedAt))
}

// take returns what was counted since it was called last.
func (t *tally) take() Counts {
	return Counts{
		Submitted: t.submitted.Swap(0), Succeeded: t.succeeded.Swap(0), Failed: t.failed.Swap(0),
		Cancelled: t.cancelled.Swap(0), Retried: t.retried.Swap(0), Lost: t.lost.Swap(0), Wait: t.wait.take(), Run: t.run.take(),
	}
}
