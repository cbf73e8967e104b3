package scheduler

import "time"

// Run is what became of a due time.
type Run struct {
	// Due is the due time.
	Due time.Time `json:"due"`
	// At is when its task was submitted, or left out.
	At time.Time `json:"at"`
	// Skipped is why it was left out: [SkippedOverlap], [SkippedMissed] or
	// [SkippedPaused]. Empty means that it was not; then its task is e.TaskID(Due).
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

// note adds a run. It is written with the due time that comes next, at once, so each
// due time has one.
func (e *Entry) note(r Run) {
	runs := append(append([]Run(nil), e.Runs...), r)
	e.Runs = runs[max(len(runs)-MaxRuns, 0):]
}
