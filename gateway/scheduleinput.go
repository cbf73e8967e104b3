package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
	"millrace/scheduler"
)

type putScheduleInput struct {
	Name string `path:"name" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Body scheduleBody
}

// scheduleBody is a schedule as it is sent. What a schema cannot say is in Resolve.
type scheduleBody struct {
	Kind  string          `json:"kind" minLength:"1" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$" doc:"Picks the handler of its tasks." example:"report.daily"`
	Args  json.RawMessage `json:"args,omitempty" doc:"Any JSON value, for the handler."`
	Queue string          `json:"queue,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" doc:"Instead of where its kind is routed to." example:"bulk"`

	At      *time.Time `json:"at,omitempty" doc:"The one time when it is due. Of at, every and cron there must be exactly one." example:"2027-03-28T09:00:00+02:00"`
	Every   string     `json:"every,omitempty" doc:"How long it is from one due time to the next: whole seconds, counted from 1970-01-01 00:00 UTC." example:"1h"`
	Cron    string     `json:"cron,omitempty" maxLength:"256" doc:"Minute, hour, day of month, month and day of week; six fields begin with the second." example:"0 9 * * mon-fri"`
	Zone    string     `json:"zone,omitempty" maxLength:"64" doc:"The IANA name of the clock that cron is read on. Default: UTC." example:"Europe/Berlin"`
	Overlap string     `json:"overlap,omitempty" enum:"allow,skip" doc:"What happens when the task before is not finished: the next one is submitted all the same (allow), or left out (skip). Default: allow."`
	OptionsBody
}

// Resolve finds what the schema cannot: huma reports it together with the rest.
func (b *scheduleBody) Resolve(huma.Context) []error {
	_, violations := b.schedule("any")
	return violations
}

var _ huma.Resolver = (*scheduleBody)(nil)

// schedule is what the body says, with every violation in it.
func (b *scheduleBody) schedule(name string) (millrace.Schedule, []error) {
	options, violations := b.options()
	d := durations{violations}
	s := millrace.Schedule{
		Name: name, Kind: b.Kind, Queue: b.Queue, Args: b.Args, Options: options, Cron: b.Cron, Zone: b.Zone, Overlap: b.Overlap,
	}
	forms := 0
	if b.At != nil {
		forms++
		if s.At = *b.At; !s.At.IsZero() { // zero: it is no time, which the schema has found
			d.checkTimes("body.at", millrace.Schedule{At: s.At})
		}
	}
	if b.Every != "" {
		forms++
		before := len(d.violations)
		if s.Every = d.parse("body.every", b.Every, time.Second, maxDelay); len(d.violations) == before {
			d.checkTimes("body.every", millrace.Schedule{Every: s.Every})
		}
	}
	if b.Cron != "" {
		forms++
		d.checkTimes("body.cron", millrace.Schedule{Cron: b.Cron})
	}
	if b.Zone != "" {
		// Whether there is such a zone is asked of an expression that is right.
		zoned := millrace.Schedule{Every: millrace.Duration(time.Second), Zone: b.Zone}
		if b.Cron != "" {
			zoned = millrace.Schedule{Cron: "@hourly", Zone: b.Zone}
		}
		d.checkTimes("body.zone", zoned)
	}
	if forms != 1 {
		d.refuse("body", fmt.Sprintf("must have exactly one of at, every and cron, not %d of them", forms), nil)
	}
	return s, d.violations
}

// checkTimes refuses when a schedule is due, or that it never is, at that place.
func (d *durations) checkTimes(location string, s millrace.Schedule) {
	s.Name, s.Kind = "any", "any"
	recurrence, err := scheduler.Parse(s)
	if err != nil {
		message := strings.TrimPrefix(err.Error(), millrace.ErrInvalid.Error()+": ")
		d.refuse(location, strings.TrimPrefix(message, "cron: "), nil)
		return
	}
	now := time.Now()
	switch due, ok := recurrence.Next(now); {
	case !ok && !s.At.IsZero():
		d.refuse(location, "has passed", nil)
	case !ok:
		d.refuse(location, "is never due", nil)
	case !s.At.IsZero() && due.After(now.Add(maxAhead)):
		d.refuse(location, "must be at most 100 years ahead", nil)
	}
}

// maxAhead is how far ahead a schedule may be due.
const maxAhead = 100 * 366 * 24 * time.Hour

// optionsOf is o as it is shown.
func optionsOf(o millrace.Options) OptionsBody {
	b := OptionsBody{MaxAttempts: o.MaxAttempts, Timeout: shownDuration(o.Timeout), ResultTTL: shownDuration(o.ResultTTL), Key: o.Key, Tags: o.Tags}
	if o.Backoff != nil {
		b.Backoff = &backoffBody{Policy: o.Backoff.Policy, Delay: shownDuration(o.Backoff.Delay), Max: shownDuration(o.Backoff.Max), Jitter: o.Backoff.Jitter}
		for _, delay := range o.Backoff.Delays {
			b.Backoff.Delays = append(b.Backoff.Delays, delay.String())
		}
	}
	return b
}

// shownDuration is how a duration that may be left out is shown.
func shownDuration(d millrace.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
