package streams

import (
	"fmt"

	"millrace"
)

// CountError is for who wants to remove many tasks and is mistaken about how many those
// are. It wraps [millrace.ErrConflict].
type CountError struct {
	What            string
	Have, Confirmed uint64
}

// Error says how many there are.
func (e *CountError) Error() string {
	return fmt.Sprintf("there are %d %s, not %d: nothing was removed", e.Have, e.What, e.Confirmed)
}

// Unwrap gives [millrace.ErrConflict].
func (e *CountError) Unwrap() error { return millrace.ErrConflict }
