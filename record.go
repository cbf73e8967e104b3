package millrace

import (
	"encoding/json"
	"time"
)

// Record is the state of a task as it is kept in the results bucket. Only a
// task that has something to tell has one: while it waits for its first run,
// or is in it, the log itself says so.
type Record struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Queue string `json:"queue"`
	State State  `json:"state"`
	// Attempts are the runs that count, oldest first.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Waits are the last times that it was put off after a run, oldest first.
	Waits []Wait `json:"waits,omitempty"`
	// Result is what the handler returned, once the task has succeeded.
	Result json.RawMessage `json:"result,omitzero"`
	// Error is why the last attempt failed, or why the task did.
	Error string   `json:"error,omitzero"`
	Tags  []string `json:"tags,omitempty"`

	SubmittedAt time.Time `json:"submitted_at"`
	// NextAt is when a retrying or scheduled task is due.
	NextAt time.Time `json:"next_at,omitzero"`
	// FinishedAt and ExpiresAt are set once the state is final.
	FinishedAt time.Time `json:"finished_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`

	// Parked is the place in the queue's log from which the task was taken, to wait
	// for NextAt, or to run for long. A delivery from there is out of date. Zero
	// if the task is in the log.
	Parked uint64 `json:"parked,omitzero"`

	// HeldBy is the limit that a pending task waits for.
	HeldBy string `json:"held_by,omitzero"`

	// Replacement is what is to run instead of what was submitted, if another submission
	// has replaced it. It goes when the task is finished.
	Replacement *Replacement `json:"replacement,omitzero"`

	// Claimed says that the handler of a unique task was called, or was about to be: what
	// it was called with cannot be replaced any more.
	Claimed bool `json:"claimed,omitzero"`

	// Progress is what the task's handler last said of it.
	Progress Progress `json:"progress,omitzero"`

	// Deliveries is how often the task was handed to a worker, as far as its workers
	// know: a delivery whose worker died before it could write may be missing.
	Deliveries int `json:"deliveries,omitzero"`

	// Redrives is how often the task was brought back from among the dead. It is of the
	// same life as a message in its queue's log that says the same.
	Redrives int `json:"redrives,omitzero"`

	// Lost counts the deliveries that ended with their worker instead of with an
	// outcome. They are no attempts and have a cap of their own.
	Lost int `json:"lost,omitzero"`
}

// Died is how many deliveries died with their worker. The record of a task that runs
// counts the one that runs among Lost, in case that it dies.
func (r Record) Died() int {
	if r.State == Running && r.Lost > 0 {
		return r.Lost - 1
	}
	return r.Lost
}

// Begun reports whether the first run of a unique task has begun.
func (r Record) Begun() bool {
	return r.Claimed || r.State != Pending && r.State != Scheduled
}

// Replacement is what a submission says of a task that another one has submitted.
type Replacement struct {
	Args json.RawMessage `json:"args,omitzero"`
	Options
}

// Progress is how far a handler is with its task.
type Progress struct {
	// Done of Total, in whatever the handler counts. Total is zero if it does not
	// know.
	Done  int    `json:"done"`
	Total int    `json:"total,omitzero"`
	Note  string `json:"note,omitzero"`
	// At is when the handler said so.
	At time.Time `json:"at"`
}

// Attempt is one run of the handler that counts.
type Attempt struct {
	// Number counts from 1.
	Number    int       `json:"number"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	// Worker names the process that ran it.
	Worker string `json:"worker"`
	// Error is empty when the attempt succeeded.
	Error string `json:"error,omitzero"`
	// Stack is where a handler panicked, or where it was when it was given up, 8 KiB
	// at most.
	Stack string `json:"stack,omitzero"`
}

// Wait is a time for which a task is put off after a run.
type Wait struct {
	Since time.Time `json:"since"`
	// Until is when it is due again: then it waits for a worker.
	Until time.Time `json:"until"`
	Why   WaitCause `json:"why"`
}

// WaitCause is why a task waits.
type WaitCause string

// The causes of waits.
const (
	// WaitRetry is the backoff after an attempt that failed.
	WaitRetry WaitCause = "retry"
	// WaitSnooze is what the handler asked for.
	WaitSnooze WaitCause = "snooze"
	// WaitLimit is until the rate of its kind or of its key lets the task begin.
	WaitLimit WaitCause = "limit"
	// WaitPause is that its kind is paused: it did not run.
	WaitPause WaitCause = "pause"
)
