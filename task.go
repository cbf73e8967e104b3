package millrace

import (
	"encoding/json"
	"time"
)

// Task is one unit of work, as it is kept in its queue's log and as a handler
// sees it. A is the type of its arguments: a handler names its own, the engine
// and the store carry [RawTask].
type Task[A any] struct {
	// ID names the task for ever: [ValidateID]. It is the idempotency key to
	// hand to other systems, since every attempt sees the same one.
	ID string `json:"id"`
	// Kind picks the handler: [ValidateKind].
	Kind string `json:"kind"`
	// Queue is the lane that the task waits in: [ValidateQueue].
	Queue string `json:"queue"`
	// Args is what the handler works on, a JSON value.
	Args A `json:"args,omitzero"`
	Options
	// SubmittedAt is when the task was accepted.
	SubmittedAt time.Time `json:"submitted_at"`
	// Tried is how many attempts were made before the task was parked for the next:
	// its record may not live as long as it waits.
	Tried int `json:"tried,omitzero"`
	// Redrives is how often the task was brought back from among the dead, and Spent how
	// many attempts were made until the last time: MaxAttempts counts on from there.
	Redrives int `json:"redrives,omitzero"`
	Spent    int `json:"spent,omitzero"`
	// Passes are of the limits that the task has come past, and that it counts in until
	// it is done. The engine writes them.
	Passes []Pass `json:"passes,omitempty"`
	// Unique says that the task has a unique key, so that it may be replaced until its
	// worker has claimed it. The engine writes it.
	Unique bool `json:"unique,omitzero"`
	// Trace is where the trace stands that the task is submitted in: none means that of
	// the context. In a handler it is a place of this attempt's own, below that; it is in
	// the handler's context too, except for that of a batch, which is of many traces.
	Trace Trace `json:"trace,omitzero"`
	// Attempt is the number of this run, from 1. It is not stored.
	Attempt int `json:"-"`
}

// Pass says that a task has come past a limit, and where that is written.
type Pass struct {
	Limit    string `json:"limit"`
	Sequence uint64 `json:"sequence"`
}

// RawTask is a task whose arguments are not decoded yet.
type RawTask = Task[json.RawMessage]

// Options are what a submission may say about how its task is carried out.
// A zero field leaves the choice to the task's kind, and then to the defaults.
type Options struct {
	// MaxAttempts is how often the handler may be called and fail, the first
	// run included. Zero means the kind's, else [DefaultMaxAttempts].
	MaxAttempts int `json:"max_attempts,omitzero"`
	// Backoff is the wait between attempts. Nil means the kind's, else
	// [DefaultBackoff].
	Backoff *Backoff `json:"backoff,omitzero"`
	// Timeout bounds one attempt: its context ends then. Zero means the
	// kind's, else no limit.
	Timeout Duration `json:"timeout,omitzero"`
	// ResultTTL is how long the final record is kept. Zero means the kind's,
	// else [DefaultResultTTL].
	ResultTTL Duration `json:"result_ttl,omitzero"`
	// Key is what the task is about, as in "customer:42": [ValidateKey]. Of the tasks that
	// have the same, one runs at a time, in the order in which they came, unless a
	// [Limit] says otherwise.
	Key string `json:"key,omitzero"`
	// Tags are words of the submitter's to find the task by.
	Tags []string `json:"tags,omitempty"`
}

// What holds when neither a submission nor a kind says otherwise.
const (
	DefaultQueue       = "default"
	DefaultMaxAttempts = 4
	DefaultResultTTL   = Duration(time.Hour)
	// MaxResultTTL is the longest that a record may be kept: the age limit of
	// the bucket itself.
	MaxResultTTL = Duration(7 * 24 * time.Hour)
)

// Duration is a [time.Duration] that JSON spells as Go does: "30s", "1h30m".
type Duration time.Duration

// MarshalText spells d as [time.Duration.String] does.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText takes what [time.ParseDuration] takes.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// String spells d as [time.Duration.String] does.
func (d Duration) String() string { return time.Duration(d).String() }
