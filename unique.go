package millrace

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Unique lets at most one task at a time have a key. It is part of a submission; what
// the task that has the key asked for says how long it has it.
type Unique struct {
	// Key is what there is to be one of, as in "report:2027-03": 1 to 200 bytes of text,
	// without control characters. It is the same for all kinds and queues.
	Key string
	// While is for how long the task has the key. Empty means [WhileUnfinished].
	While UniqueScope
	// For is how long, from its submission, if While is [WhileFor]: 1 s to [MaxUniqueFor].
	For time.Duration
	// OnConflict is what becomes of a submission whose key another task has. Empty
	// means [UniqueReject].
	OnConflict UniqueConflict
}

// UniqueScope is for how long a task has its key.
type UniqueScope string

// The scopes. A task that waits to be tried again is unfinished, and not pending.
const (
	WhilePending    UniqueScope = "pending"    // until its first run begins
	WhileUnfinished UniqueScope = "unfinished" // until it has succeeded, failed or been cancelled
	WhileFor        UniqueScope = "for"        // for a time, whatever becomes of it
)

// UniqueConflict is what becomes of a submission whose key another task has.
type UniqueConflict string

// What can become of it.
const (
	UniqueReject  UniqueConflict = "reject"  // it is refused
	UniqueReturn  UniqueConflict = "return"  // it is answered with the other task
	UniqueReplace UniqueConflict = "replace" // the other task gets its args, options and time, unless it has begun
)

const (
	// MaxUniqueKeyLen is in bytes.
	MaxUniqueKeyLen = 200
	// MaxUniqueFor is the longest time that a key can be had for: as far ahead as a task
	// can be submitted.
	MaxUniqueFor = 366 * 24 * time.Hour
)

// Validate says what is wrong with u, or nil.
func (u Unique) Validate() error {
	switch {
	case len(u.Key) < 1 || len(u.Key) > MaxUniqueKeyLen:
		return invalid("the unique key must have 1 to %d bytes, not %d", MaxUniqueKeyLen, len(u.Key))
	case !utf8.ValidString(u.Key):
		return invalid("the unique key must be text")
	case u.While != "" && u.While != WhilePending && u.While != WhileUnfinished && u.While != WhileFor:
		return invalid("a key can be had while %s, %s or %s, not %q", WhilePending, WhileUnfinished, WhileFor, u.While)
	case u.OnConflict != "" && u.OnConflict != UniqueReject && u.OnConflict != UniqueReturn && u.OnConflict != UniqueReplace:
		return invalid("on a conflict one can %s, %s or %s, not %q", UniqueReject, UniqueReturn, UniqueReplace, u.OnConflict)
	case u.While == WhileFor && (u.For < time.Second || u.For > MaxUniqueFor):
		return invalid("a key can be had for 1s to %s, not %s", MaxUniqueFor, u.For)
	case u.While != WhileFor && u.For != 0:
		return invalid("a time goes with the scope %s only", WhileFor)
	}
	for _, c := range u.Key {
		if unicode.IsControl(c) {
			return invalid("the unique key must be text, without control characters")
		}
	}
	return nil
}

// TakenError says which task has a unique key. It wraps [ErrConflict].
type TakenError struct {
	Key   string
	ID    string
	State State // empty if it is not known any more
}

// Error says who has the key.
func (e *TakenError) Error() string {
	if e.State == "" {
		return fmt.Sprintf("task %s has the unique key %q", e.ID, e.Key)
	}
	is := "is"
	if e.State == Succeeded || e.State == Failed { // a key can be had for a time
		is = "has"
	}
	return fmt.Sprintf("task %s, which %s %s, has the unique key %q", e.ID, is, e.State, e.Key)
}

// Unwrap gives [ErrConflict].
func (e *TakenError) Unwrap() error { return ErrConflict }
