package scheduler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"millrace"
)

// Reconcile makes the declared schedules what is given: it makes those that are missing,
// replaces those that differ, and removes those that are not declared any more. It takes
// over a schedule of that name that somebody has put. Whether one is paused stays, and
// so does what has become of it. Any number may do it at once, and again.
//
// One that is never due any more, since its time has passed, is finished. Errors name the
// schedule; they wrap [millrace.ErrInvalid], or are those of the store.
func (b *Book) Reconcile(ctx context.Context, schedules []millrace.Schedule) error {
	kept := map[string]bool{}
	for _, s := range schedules {
		kept[s.Name] = true
		if err := b.declare(ctx, s); err != nil {
			return fmt.Errorf("schedule %s: %w", s.Name, err)
		}
	}
	all, _, err := b.list(ctx) // the scheduler complains about what cannot be read
	if err != nil {
		return err
	}
	for _, e := range all {
		if !e.Declared || kept[e.Name] {
			continue
		}
		err := b.remove(ctx, e.Name, func(now Entry) error {
			if !now.Declared {
				return errNotOurs
			}
			return nil
		})
		if err != nil && !errors.Is(err, errNotOurs) && !errors.Is(err, millrace.ErrNotFound) {
			return fmt.Errorf("schedule %s: %w", e.Name, err)
		}
	}
	return nil
}

var errNotOurs = errors.New("it is not declared any more")

func (b *Book) declare(ctx context.Context, s millrace.Schedule) error {
	s, err := s.Canonical()
	if err != nil {
		return err
	}
	for {
		e, err := b.Get(ctx, s.Name)
		if err != nil && !errors.Is(err, millrace.ErrNotFound) && !errors.Is(err, errUnreadable) {
			return err
		}
		if e.Declared && equal(e.Schedule, s) {
			return nil
		}
		e.Declared = true
		if _, err = b.replace(ctx, e, s); !errors.Is(err, millrace.ErrConflict) {
			return err
		}
	}
}

// equal reports whether two schedules are written the same.
func equal(a, b millrace.Schedule) bool {
	one, err := json.Marshal(a)
	if err != nil {
		return false
	}
	other, err := json.Marshal(b)
	return err == nil && bytes.Equal(one, other)
}
