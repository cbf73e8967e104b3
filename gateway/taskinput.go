package gateway

import (
	"encoding/json"
	"fmt"
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
	Kind        string          `json:"kind" minLength:"1" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$" doc:"Picks the handler." example:"mail.send"`
	Args        json.RawMessage `json:"args,omitempty" doc:"Any JSON value, for the handler."`
	Queue       string          `json:"queue,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" doc:"Instead of where its kind is routed to." example:"critical"`
	MaxAttempts int             `json:"max_attempts,omitempty" minimum:"1" maximum:"100" doc:"How often it may be tried, the first run included. Default: the kind's, else 4."`
	Backoff     *backoffBody    `json:"backoff,omitempty" doc:"The wait between attempts. Default: the kind's, else 30s each time."`
	Timeout     string          `json:"timeout,omitempty" doc:"How long one attempt may take. Default: the kind's, else no limit." example:"1m30s"`
	ResultTTL   string          `json:"result_ttl,omitempty" doc:"How long the record is kept once the task is finished, 1s to 168h. Default: the kind's, else 1h." example:"24h"`
	Tags        []string        `json:"tags,omitempty" maxItems:"20" minLength:"1" maxLength:"100" doc:"Words to find the task by."`
}

type backoffBody struct {
	Policy string   `json:"policy" enum:"fixed,exponential,list"`
	Delay  string   `json:"delay,omitempty" doc:"The first wait, for fixed and exponential." example:"30s"`
	Max    string   `json:"max,omitempty" doc:"The longest wait, for exponential. Default: 24h." example:"10m"`
	Delays []string `json:"delays,omitempty" maxItems:"100" doc:"The waits one after another, for list; the last one repeats."`
	Jitter float64  `json:"jitter,omitempty" minimum:"0" maximum:"1" doc:"Spreads each wait over ± this share of it."`
}

// Resolve finds what the schema cannot: huma reports it together with the rest.
func (b *taskBody) Resolve(huma.Context) []error {
	_, violations := b.options()
	return violations
}

var _ huma.Resolver = (*taskBody)(nil)

// options are the task's options, with every violation in them.
func (b *taskBody) options() (millrace.Options, []error) {
	var d durations
	o := millrace.Options{MaxAttempts: b.MaxAttempts, Tags: b.Tags}
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
				d.violations = append(d.violations, &huma.ErrorDetail{Location: "body.backoff", Message: err.Error()})
			}
		}
		o.Backoff = &backoff
	}
	return o, d.violations
}

// durations reads many and gathers what is wrong with any.
type durations struct{ violations []error }

func (d *durations) parse(location, text string, shortest, longest time.Duration) millrace.Duration {
	if text == "" {
		return 0
	}
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		d.violations = append(d.violations, &huma.ErrorDetail{Location: location, Message: `must be a duration, as in "30s", "5m" or "1h30m"`, Value: text})
	case v < shortest || v > longest:
		d.violations = append(d.violations, &huma.ErrorDetail{Location: location, Message: fmt.Sprintf("must be %s to %s", shortest, longest), Value: text})
	}
	return millrace.Duration(v)
}
