package orders

import (
	"fmt"
	"slices"
	"time"

	"millrace"
)

// State is where an order stands.
type State string

// The states of an order. The last four are final.
const (
	Placed          State = "placed"           // accepted, nobody has looked at it yet
	AwaitingPayment State = "awaiting_payment" // valid and priced
	Paid            State = "paid"
	Fulfilled       State = "fulfilled" // done
	Rejected        State = "rejected"  // cannot be had as it was placed
	Cancelled       State = "cancelled" // called off before it was paid
	Expired         State = "expired"   // not paid in time
)

// Action is what can happen to an order.
type Action string

// The actions, each of which leads to one state: see [Apply].
const (
	Accept Action = "accept"
	Reject Action = "reject"
	Pay    Action = "pay"
	Fulfil Action = "fulfil"
	Cancel Action = "cancel"
	Expire Action = "expire"
)

// transitions is the life of an order: from each state, where an action leads.
// What is paid for is not cancelled, since nothing here gives money back.
var transitions = map[State]map[Action]State{
	Placed:          {Accept: AwaitingPayment, Reject: Rejected, Cancel: Cancelled},
	AwaitingPayment: {Pay: Paid, Cancel: Cancelled, Expire: Expired},
	Paid:            {Fulfil: Fulfilled},
}

// Final reports whether nothing more can happen to an order in s.
func (s State) Final() bool { return len(transitions[s]) == 0 }

// Event is an action on an order, with what its history will say of it.
type Event struct {
	Action Action
	// At is when it happened.
	At time.Time
	// Reason is why, if that is not plain.
	Reason string
	// TaskID names the task that does it, if one does.
	TaskID string
}

// Apply returns o after e: in its new state, with one more entry in its history.
// The o that was given is not changed. An event that does not fit the state is a
// [*TransitionError], and the order that comes with it is o as it was.
func Apply(o Order, e Event) (Order, error) {
	next, fits := transitions[o.State][e.Action]
	if !fits {
		return o, &TransitionError{State: o.State, Action: e.Action}
	}
	o.State = next
	// Clipped, so that two orders that came of one do not share what follows.
	o.History = append(slices.Clip(o.History), Change{State: next, At: e.At.UTC(), Reason: e.Reason, TaskID: e.TaskID})
	return o, nil
}

// note adds to an order's history without a change of its state.
func note(o Order, e Event) Order {
	o.History = append(slices.Clip(o.History), Change{State: o.State, At: e.At.UTC(), Reason: e.Reason, TaskID: e.TaskID})
	return o
}

// TransitionError says that an event does not fit the state of its order. It is
// a [millrace.ErrConflict]: the order is not what somebody thought it was.
type TransitionError struct {
	State  State
	Action Action
}

// Error names both.
func (e *TransitionError) Error() string {
	return fmt.Sprintf("%q is not possible for an order that is %q", e.Action, e.State)
}

// Unwrap gives [millrace.ErrConflict].
func (e *TransitionError) Unwrap() error { return millrace.ErrConflict }
