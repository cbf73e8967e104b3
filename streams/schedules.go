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
	// At is when that is to be dealt with. Zero means at once.
	At time.Time `json:"at,omitzero"`
}

// moment is when it fires.
func (f Fired) moment() time.Time {
	if f.At.IsZero() {
		return f.Due
	}
	return f.At
}

// Arm lets a schedule fire for f.Due, instead of when it would have.
func (s *Store) Arm(ctx context.Context, f Fired) error {
	if err := millrace.ValidateID(f.Name); err != nil {
		return err
	}
	if _, err := s.schedule(ctx, shardOf(f.Name), armedSubject(f.Name), firedSubject(f.Name), f.moment(), f, anyRevision); err != nil {
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

// Armed returns the due time of a schedule that is to come, and the one that has come
// and is not moved yet, as far as there are any.
func (s *Store) Armed(ctx context.Context, name string) ([]Fired, error) {
	if err := millrace.ValidateID(name); err != nil {
		return nil, err
	}
	found, err := s.lastBy(ctx, scheduleStream(shardOf(name)), armedSubject(name), firedSubject(name))
	if err != nil {
		return nil, err
	}
	var armed []Fired
	for _, st := range found {
		var f Fired
		if decode(st.data, &f) == nil { // else it is as good as none
			armed = append(armed, f)
		}
	}
	return armed, nil
}

// Now is what the broker's clock shows: the one that due times go by.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	stream, err := s.js.Stream(ctx, bucketStream(schedulesBucket))
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: ask the broker for its time: %w", millrace.ErrUnavailable, err)
	}
	return stream.CachedInfo().TimeStamp, nil
}

func isFired(subject string) bool {
	parts := strings.Split(subject, ".")
	return len(parts) == 4 && parts[2] == "named"
}
