package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
)

type submitTaskInput struct {
	Key     string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same body is done once, within a day."`
	Body    taskBody
	RawBody []byte
}

// taskBody is a submission. The bounds here are checked by the schema; what a
// schema cannot say is in Resolve.
type taskBody struct {
	Kind  string          `json:"kind" minLength:"1" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$" doc:"Picks the handler." example:"mail.send"`
	Args  json.RawMessage `json:"args,omitempty" doc:"Any JSON value, for the handler."`
	Queue string          `json:"queue,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" doc:"Instead of where its kind is routed to." example:"critical"`
	Delay string          `json:"delay,omitempty" minLength:"1" doc:"How long it waits before it may run, up to 8784h (366 days), counted from when this was asked for first." example:"30s"`
	RunAt *time.Time      `json:"run_at,omitempty" doc:"When it may run, instead of delay; to the second, never early. What is past is now." example:"2027-03-28T09:00:00+02:00"`
	// Unique is read in uniqueinput.go.
	Unique *uniqueBody `json:"unique,omitempty" doc:"Of what there is to be one task at a time."`
	OptionsBody
}

// OptionsBody is what a submission and a schedule say about how a task is carried
// out. Its name is exported for the encoder, which fills in no other embedded type.
type OptionsBody struct {
	MaxAttempts int          `json:"max_attempts,omitempty" minimum:"1" maximum:"100" doc:"How often it may be tried, the first run included. Default: the kind's, else 4."`
	Backoff     *backoffBody `json:"backoff,omitempty" doc:"The wait between attempts. Default: the kind's, else 30s each time."`
	Timeout     string       `json:"timeout,omitempty" minLength:"1" doc:"How long one attempt may take. Default: the kind's, else no limit." example:"1m30s"`
	ResultTTL   string       `json:"result_ttl,omitempty" minLength:"1" doc:"How long the record is kept once the task is finished, 1s to 168h. Default: the kind's, else 1h." example:"24h"`
	Key         string       `json:"key,omitempty" minLength:"1" maxLength:"100" doc:"What the task is about. Of those with the same key one runs at a time, in the order in which they came, unless a limit says otherwise." example:"customer:42"`
	Tags        []string     `json:"tags,omitempty" maxItems:"20" minLength:"1" maxLength:"100" doc:"Words that are kept with the task."`
}

type backoffBody struct {
	Policy string   `json:"policy" enum:"fixed,exponential,list"`
	Delay  string   `json:"delay,omitempty" minLength:"1" doc:"The first wait, for fixed and exponential." example:"30s"`
	Max    string   `json:"max,omitempty" minLength:"1" doc:"The longest wait, for exponential. Default: 24h." example:"10m"`
	Delays []string `json:"delays,omitempty" maxItems:"100" doc:"The waits one after another, for list; the last one repeats."`
	Jitter float64  `json:"jitter,omitempty" minimum:"0" maximum:"1" doc:"Spreads each wait over ± this share of it."`
}

// Resolve finds what the schema cannot: huma reports it together with the rest.
func (b *taskBody) Resolve(huma.Context) []error {
	_, violations := b.options()
	_, more := b.due(time.Now())
	_, _, still := b.unique()
	return slices.Concat(violations, more, still)
}

var _ huma.Resolver = (*taskBody)(nil)

// maxDelay is how far ahead a task may be submitted.
const maxDelay = 366 * 24 * time.Hour

// due is when the task may run, given when that was asked for, rounded up to the
// second; zero if nothing is said about it.
func (b *taskBody) due(asked time.Time) (time.Time, []error) {
	var d durations
	delay := time.Duration(d.parse("body.delay", b.Delay, 0, maxDelay))
	if _, wait, _ := b.unique(); wait > 0 {
		delay = wait
	}
	switch {
	case b.Delay != "" && b.RunAt != nil:
		d.refuse("body.delay", "delay and run_at exclude each other", b.Delay)
		d.refuse("body.run_at", "delay and run_at exclude each other", nil)
	case b.RunAt != nil:
		if b.RunAt.After(asked.Add(maxDelay)) {
			d.refuse("body.run_at", fmt.Sprintf("must be at most %s ahead", maxDelay), nil)
		}
		return ceilSecond(*b.RunAt), d.violations
	case delay > 0:
		return ceilSecond(asked.Add(delay)), d.violations
	}
	return time.Time{}, d.violations
}

func ceilSecond(t time.Time) time.Time {
	return t.Add(time.Second - 1).Truncate(time.Second).UTC()
}

// options are the task's options, with every violation in them.
func (b *OptionsBody) options() (millrace.Options, []error) {
	var d durations
	o := millrace.Options{MaxAttempts: b.MaxAttempts, Key: b.Key, Tags: b.Tags}
	if b.Key != "" {
		if millrace.ValidateKey(b.Key) != nil {
			d.refuse("body.key", fmt.Sprintf("must be text of at most %d bytes, without control characters", millrace.MaxKeyLen), b.Key)
		}
	}
	o.Timeout = d.parse("body.timeout", b.Timeout, time.Millisecond, 7*24*time.Hour)
	o.ResultTTL = d.parse("body.result_ttl", b.ResultTTL, time.Second, time.Duration(millrace.MaxResultTTL))
	if b.Backoff != nil {
		backoff := millrace.Backoff{Policy: b.Backoff.Policy, Jitter: b.Backoff.Jitter}
		longest := time.Duration(millrace.MaxBackoff)
		backoff.Delay = d.parse("body.backoff.delay", b.Backoff.Delay, 0, longest)
		backoff.Max = d.parse("body.backoff.max", b.Backoff.Max, 0, longest)
		for i, text := range b.Backoff.Delays {
			backoff.Delays = append(backoff.Delays, d.parse(fmt.Sprintf("body.backoff.delays[%d]", i), text, 0, longest))
		}
		if len(d.violations) == 0 {
			if err := backoff.Validate(); err != nil {
				d.refuse("body.backoff", err.Error(), nil)
			}
		}
		o.Backoff = &backoff
	}
	return o, d.violations
}

// durations reads many and gathers what is wrong with any.
type durations struct{ violations []error }

func (d *durations) refuse(location, message string, value any) {
	d.violations = append(d.violations, &huma.ErrorDetail{Location: location, Message: message, Value: value})
}

func (d *durations) parse(location, text string, shortest, longest time.Duration) millrace.Duration {
	if text == "" {
		return 0
	}
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		d.refuse(location, `must be a duration, as in "30s", "5m" or "1h30m"`, text)
	case v < shortest || v > longest:
		d.refuse(location, fmt.Sprintf("must be %s to %s", shortest, longest), text)
	}
	return millrace.Duration(v)
}
