package scheduler

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
)

// jitter spreads what is due at the same time. How late a due time is submitted follows
// from the schedule's name and that time, so whoever computes it, and however often,
// comes to the same.
type jitter struct {
	name string
	most time.Duration
}

// of returns how late that due time is: whole seconds, at most so many.
func (j jitter) of(due time.Time, most time.Duration) time.Duration {
	choices := uint64(min(j.most, most)/time.Second) + 1
	hash := sha256.Sum256([]byte(j.name + "\x00" + strconv.FormatInt(due.Unix(), 10)))
	return time.Duration(binary.BigEndian.Uint64(hash[:])%choices) * time.Second
}

// Moment returns when the task of a due time is submitted: then, or later by the
// schedule's jitter, but before the next due time.
func (r Recurrence) Moment(due time.Time) time.Time {
	if r.jitter.most == 0 {
		return due
	}
	gap := r.jitter.most
	if next, ok := r.unbounded(due); ok {
		gap = next.Sub(due) - time.Second
	}
	return due.Add(r.jitter.of(due, gap))
}

// Upcoming returns the first due time after the one that was dealt with last whose
// moment has not come. Those between are missed.
func (r Recurrence) Upcoming(dealt, now time.Time) (due time.Time, ok bool) {
	// A due time that has come may have its moment ahead.
	due, ok = r.Next(later(dealt, now.Add(-r.jitter.most)))
	for ok && !r.Moment(due).After(now) {
		due, ok = r.Next(due)
	}
	return due, ok
}

// never reports whether there is no due time at all, past or future.
func (r Recurrence) never() bool {
	_, ok := r.Next(time.Unix(0, 0))
	return !ok
}
