package millrace

import (
	"errors"
	"fmt"
	"time"
)

// What can be wrong with a request, for errors.Is. The gateway turns each into
// a status code; everything else is an internal error.
var (
	// ErrInvalid: what was asked for cannot be taken as it is.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: nothing of that id was ever accepted.
	ErrNotFound = errors.New("not found")
	// ErrGone: it was accepted and done, and its record has expired.
	ErrGone = errors.New("its record has expired")
	// ErrConflict: somebody else wrote first, or the id is taken.
	ErrConflict = errors.New("conflict")
	// ErrQueueFull: the queue's log has no room; nothing was stored.
	ErrQueueFull = errors.New("the queue is full")
	// ErrNoRoom: the broker has no room for another log.
	ErrNoRoom = errors.New("the broker has no room")
	// ErrDraining: the queue takes nothing from outside, so that it gets empty.
	ErrDraining = errors.New("the queue is being drained")
	// ErrCancelled is the cause of a handler's context when its task is called off.
	ErrCancelled = errors.New("the task is cancelled")
	// ErrUnavailable: the broker did not answer, or is not there.
	ErrUnavailable = errors.New("the broker is not available")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// Permanent tells the engine that trying again would not help: the task fails
// now, whatever attempts it has left. A nil err gives nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &PermanentError{Err: err}
}

// PermanentError is what [Permanent] returns.
type PermanentError struct{ Err error }

// Error is the wrapped error's text: where it is shown, the state says the rest.
func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap gives the error that was declared permanent.
func (e *PermanentError) Unwrap() error { return e.Err }

// Snooze tells the engine to call the handler again after d, free of charge:
// the run does not count as an attempt. Use it to wait for something else.
// A d of zero or less means at once.
func Snooze(d time.Duration) error {
	return &SnoozeError{Delay: max(d, 0)}
}

// SnoozeError is what [Snooze] returns.
type SnoozeError struct{ Delay time.Duration }

// Error says how long the task sleeps.
func (e *SnoozeError) Error() string { return "snooze for " + e.Delay.String() }

// NotDeadError says that a task is not among the dead, and so neither redriven nor
// discarded. It wraps [ErrConflict].
type NotDeadError struct {
	ID    string
	State State
}

// Error says how the task stands instead.
func (e *NotDeadError) Error() string {
	return fmt.Sprintf("task %s is not dead: it is %s", e.ID, e.State)
}

// Unwrap gives [ErrConflict].
func (e *NotDeadError) Unwrap() error { return ErrConflict }

// FinalError says that a task is finished, and so not to be changed. It wraps
// [ErrConflict].
type FinalError struct {
	ID    string
	State State
}

// Error says how the task ended.
func (e *FinalError) Error() string { return fmt.Sprintf("task %s is already %s", e.ID, e.State) }

// Unwrap gives [ErrConflict].
func (e *FinalError) Unwrap() error { return ErrConflict }
