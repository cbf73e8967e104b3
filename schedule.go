package millrace

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Schedule is a task to be submitted at a time, every so often, or by cron.
// What it says about the task means what it means in [Task]; of At, Every and
// Cron it has exactly one. Package scheduler computes when it is due.
type Schedule struct {
	// Name names the schedule: [ValidateScheduleName].
	Name string `json:"name"`
	// Kind picks the handler: [ValidateKind].
	Kind string `json:"kind"`
	// Queue is the lane of its tasks. Empty leaves it to the routes.
	Queue string `json:"queue,omitzero"`
	// Args is what the handler works on, a JSON value.
	Args json.RawMessage `json:"args,omitzero"`
	Options

	// At is the one time when it is due.
	At time.Time `json:"at,omitzero"`
	// Every is how long it is from one due time to the next: whole seconds,
	// counted from the Unix epoch, not from when the schedule was made.
	Every Duration `json:"every,omitzero"`
	// Cron says which times of the calendar are due, as in "0 9 * * mon-fri". What
	// "@every 5m" and "@at 2027-01-01T00:00:00Z" say belongs into Every and At, where
	// [Schedule.Canonical] puts it.
	Cron string `json:"cron,omitzero"`
	// Zone is the IANA name of the clock that Cron is read on, as in
	// "Europe/Berlin". Empty means UTC.
	Zone string `json:"zone,omitzero"`

	// Start and End bound the due times of Every and Cron: none is before Start or
	// after End. Zero means no bound. A schedule behind its end is finished.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
	// Jitter is how long after its due time a task may be submitted, so that many
	// schedules of the same times do not come at once: whole seconds, up to [MaxJitter],
	// and never as far as the next due time. How long it is in fact follows from the
	// name and the due time.
	Jitter Duration `json:"jitter,omitzero"`

	// Overlap says what happens when the task of the due time before is not
	// finished. Empty means [OverlapAllow].
	Overlap string `json:"overlap,omitzero"`
	// CatchUp says what happens with due times that were missed, since no scheduler ran
	// or the schedule was paused. Empty means [CatchUpOnce].
	CatchUp string `json:"catch_up,omitzero"`
}

// What a [Schedule] does when its last task is not finished.
const (
	OverlapAllow = "allow" // submits the next one all the same
	OverlapSkip  = "skip"  // leaves the next one out
)

// What a [Schedule] does about due times that were missed.
const (
	CatchUpOnce = "once" // submits one task for all of them
	CatchUpSkip = "skip" // leaves them out
)

const (
	// MaxCronLen is how long a cron expression may be.
	MaxCronLen = 256
	// MaxJitter is the longest jitter.
	MaxJitter = Duration(24 * time.Hour)
)

// ErrDeclared: the schedule is declared in the configuration file, and so neither to be
// changed nor to be cancelled. It wraps [ErrConflict].
var ErrDeclared = fmt.Errorf("%w: it is declared in the configuration file (millrace.yaml): change it there, and start the scheduler again", ErrConflict)

// ValidateScheduleName says what is wrong with a schedule's name, or nil: the
// same as [ValidateID].
func ValidateScheduleName(name string) error {
	return validateToken("name", name)
}

// Canonical returns s in the one spelling in which it is kept: "@every" and "@at" of Cron
// are in the fields of that name, times are in UTC. The error wraps [ErrInvalid].
func (s Schedule) Canonical() (Schedule, error) {
	s.At, s.Start, s.End = s.At.UTC(), s.Start.UTC(), s.End.UTC()
	form, value, _ := strings.Cut(strings.TrimSpace(s.Cron), " ")
	value = strings.TrimSpace(value)
	if form = strings.ToLower(form); form != "@every" && form != "@at" {
		return s, nil
	}
	if s.Every != 0 || !s.At.IsZero() {
		return s, nil // two of them are one too many, which Validate says
	}
	s.Cron = ""
	if form == "@every" {
		every, err := time.ParseDuration(value)
		if err != nil {
			return s, invalid(`cron: @every goes with a duration, as in "@every 5m", not %.64q`, value)
		}
		s.Every = Duration(every)
		if every == 0 {
			return s, invalid("every must be 1s or more, in whole seconds, not 0s")
		}
		return s, nil
	}
	at, err := time.Parse(time.RFC3339, strings.ToUpper(value))
	if err != nil || at.IsZero() {
		return s, invalid(`cron: @at goes with a time, as in "@at 2027-01-01T00:00:00Z", not %.64q`, value)
	}
	s.At = at.UTC()
	return s, nil
}

// Validate returns all that is wrong with s, joined, or nil. It does not read
// Cron and Zone: whether they mean anything, Parse of package scheduler says.
func (s Schedule) Validate() error {
	errs := []error{ValidateScheduleName(s.Name), ValidateKind(s.Kind)}
	if s.Queue != "" {
		errs = append(errs, ValidateQueue(s.Queue))
	}
	if len(s.Args) > 0 && !json.Valid(s.Args) {
		errs = append(errs, invalid("args must be a JSON value"))
	}
	errs = append(errs, s.validateOptions(), s.validateForm())
	if s.Every != 0 && (s.Every < Duration(time.Second) || s.Every%Duration(time.Second) != 0) {
		errs = append(errs, invalid("every must be 1s or more, in whole seconds, not %s", s.Every))
	}
	if len(s.Cron) > MaxCronLen {
		errs = append(errs, invalid("cron must have at most %d characters, not %d", MaxCronLen, len(s.Cron)))
	}
	if s.Zone != "" && s.Cron == "" {
		errs = append(errs, invalid("zone goes with cron: leave it out, at has a zone of its own and every needs none"))
	}
	if s.Overlap != "" && s.Overlap != OverlapAllow && s.Overlap != OverlapSkip {
		errs = append(errs, invalid("overlap must be %q or %q", OverlapAllow, OverlapSkip))
	}
	if s.CatchUp != "" && s.CatchUp != CatchUpOnce && s.CatchUp != CatchUpSkip {
		errs = append(errs, invalid("catch_up must be %q or %q", CatchUpOnce, CatchUpSkip))
	}
	return errors.Join(append(errs, s.validateBounds())...)
}

func (s Schedule) validateBounds() error {
	var errs []error
	if !s.At.IsZero() && (!s.Start.IsZero() || !s.End.IsZero()) {
		errs = append(errs, invalid("start and end go with every and cron: leave them out, at is the one time already"))
	}
	if !s.Start.IsZero() && !s.End.IsZero() && !s.End.After(s.Start) {
		errs = append(errs, invalid("end must be after start"))
	}
	if s.Jitter < 0 || s.Jitter > MaxJitter || s.Jitter%Duration(time.Second) != 0 {
		errs = append(errs, invalid("jitter must be 0s to %s, in whole seconds, not %s", MaxJitter, s.Jitter))
	}
	return errors.Join(errs...)
}

func (s Schedule) validateForm() error {
	forms := 0
	for _, given := range []bool{!s.At.IsZero(), s.Every != 0, s.Cron != ""} {
		if given {
			forms++
		}
	}
	if forms != 1 {
		return invalid("a schedule needs exactly one of at, every and cron, not %d of them", forms)
	}
	return nil
}

func (s Schedule) validateOptions() error {
	var errs []error
	if s.MaxAttempts < 0 {
		errs = append(errs, invalid("max_attempts must be 1 or more, or left out, not %d", s.MaxAttempts))
	}
	if s.Backoff != nil {
		errs = append(errs, s.Backoff.Validate())
	}
	if s.Timeout < 0 {
		errs = append(errs, invalid("timeout must not be negative, as %s is", s.Timeout))
	}
	if s.ResultTTL < 0 || s.ResultTTL > MaxResultTTL {
		errs = append(errs, invalid("result_ttl must be 0s to %s, not %s", MaxResultTTL, s.ResultTTL))
	}
	return errors.Join(errs...)
}

// TaskID returns the id of the task of a due time, which is the same whoever
// submits it, so that a schedule which fires twice submits once. Only the
// second of due matters.
func (s Schedule) TaskID(due time.Time) string {
	return DeriveID("schedule", s.Name, due.UTC().Format(time.RFC3339))
}
