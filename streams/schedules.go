package streams

import (
	"context"
	"fmt"
	"strings"
	"time"

	"millrace"
)

// Fired is the due time of a named schedule.
type Fired struct {
	Name string `json:"name"`
	// Generation tells one schedule of that name from another that replaced it.
	Generation string    `json:"generation"`
	Due        time.Time `json:"due"`
}

// Arm lets a schedule fire at f.Due, instead of when it would have.
func (s *Store) Arm(ctx context.Context, f Fired) error {
	if err := millrace.ValidateID(f.Name); err != nil {
		return err
	}
	if _, err := s.schedule(ctx, f.Name, armedSubject(f.Name), firedSubject(f.Name), f.Due, f, anyRevision); err != nil {
		return fmt.Errorf("arm schedule %s: %w", f.Name, err)
	}
	return nil
}

// Disarm takes back a due time that has not come yet, if there is one.
func (s *Store) Disarm(ctx context.Context, name string) error {
	if err := millrace.ValidateID(name); err != nil {
		return err
	}
	return s.purge(ctx, scheduleStream(shardOf(name)), armedSubject(name))
}

// Armed reports whether a schedule has a due time to come, or one that has come and
// is not moved yet.
func (s *Store) Armed(ctx context.Context, name string) (bool, error) {
	if err := millrace.ValidateID(name); err != nil {
		return false, err
	}
	found, err := s.lastBy(ctx, scheduleStream(shardOf(name)), armedSubject(name), firedSubject(name))
	return len(found) > 0, err
}

func isFired(subject string) bool {
	parts := strings.Split(subject, ".")
	return len(parts) == 4 && parts[2] == "named"
}
