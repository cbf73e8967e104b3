package millrace

import "slices"

// State is where a task stands.
type State string

// The states of a task. The last three are final: once written they never change,
// except that a redrive starts a failed task again.
const (
	Pending   State = "pending"   // accepted, waiting for a worker
	Scheduled State = "scheduled" // accepted, waiting for its time
	Running   State = "running"   // a worker has it
	Retrying  State = "retrying"  // an attempt failed, waiting for the next
	Succeeded State = "succeeded" // done
	Failed    State = "failed"    // out of attempts, or failed for good
	Cancelled State = "cancelled" // called off
)

// transitions is the life of a task: from each state, where it can go next.
// docs/concepts.md says when.
var transitions = map[State][]State{
	Pending:   {Scheduled, Running, Failed, Cancelled},
	Scheduled: {Pending, Running, Failed, Cancelled},
	Running:   {Succeeded, Failed, Retrying, Scheduled, Pending, Cancelled},
	Retrying:  {Pending, Scheduled, Running, Failed, Cancelled},
	Failed:    {Pending},
}

// Final reports whether a task in s is finished.
func (s State) Final() bool {
	return s == Succeeded || s == Failed || s == Cancelled
}

// CanBecome reports whether a task may go from s to next.
func (s State) CanBecome(next State) bool {
	return slices.Contains(transitions[s], next)
}
