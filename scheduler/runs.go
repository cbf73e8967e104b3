package scheduler

import (
	"context"
	"errors"
	"slices"
	"time"

	"millrace"
)

// Run is what became of a due time, or what [Book.Run] has submitted.
type Run struct {
	// Due is the due time. Zero means that it was none.
	Due time.Time `json:"due,omitzero"`
	// Task is what [Book.Run] has submitted.
	Task string `json:"task,omitzero"`
	// At is when its task was submitted, or left out.
	At time.Time `json:"at"`
	// Skipped is why it was left out: [SkippedOverlap], [SkippedMissed] or
	// [SkippedPaused]. Empty means that it was not: see [Entry.TaskOf].
	Skipped string `json:"skipped,omitzero"`
}

// Why a due time was left out.
const (
	SkippedOverlap = "overlap" // the task before was not finished
	SkippedMissed  = "missed"  // nobody dealt with it in time
	SkippedPaused  = "paused"  // it came while the schedule was paused
)

const (
	// MaxRuns is how many runs an entry remembers.
	MaxRuns = 20
	// MissedAfter is how late a due time may be dealt with before it counts as missed,
	// for a schedule that skips those.
	MissedAfter = time.Minute
)

// TaskOf is the id of a run's task, empty if that was left out.
func (e Entry) TaskOf(r Run) string {
	switch {
	case r.Task != "" || r.Skipped != "":
		return r.Task
	default:
		return e.TaskID(r.Due)
	}
}

// noteTask adds what [Book.Run] has submitted, once. It is besides what the schedule is
// for, so if it cannot be written down, nothing else comes of that.
func (b *Book) noteTask(ctx context.Context, name, id string, at time.Time) error {
	for {
		e, err := b.Get(ctx, name)
		if err != nil || slices.ContainsFunc(e.Runs, func(r Run) bool { return r.Task == id }) {
			return err
		}
		e.note(Run{Task: id, At: at.UTC().Truncate(time.Millisecond)})
		if err = b.write(ctx, &e); !errors.Is(err, millrace.ErrConflict) {
			return err
		}
	}
}

// note adds a run. It is written with the due time that comes next, at once, so each
// due time has one.
func (e *Entry) note(r Run) {
	runs := append(append([]Run(nil), e.Runs...), r)
	e.Runs = runs[max(len(runs)-MaxRuns, 0):]
}
