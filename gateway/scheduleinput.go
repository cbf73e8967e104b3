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
	Name    string `path:"name" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	IfMatch string `header:"If-Match" doc:"The ETag that the schedule must have still, or * if it must be there already."`
	Body    scheduleBody
}

type createScheduleInput struct {
	Key     string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same body is done once, within a day."`
	Body    newScheduleBody
	RawBody []byte
}

// newScheduleBody is a schedule that is to be made, with a name or without one.
type newScheduleBody struct {
	Name string `json:"name,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" doc:"What it is called. Default: a name that is made for it." example:"nightly"`
	ScheduleFields
}

// scheduleBody is a schedule as it is sent.
type scheduleBody struct{ ScheduleFields }

// ScheduleFields are what a schedule says. What a schema cannot say is in violations. Its
// name is exported for the encoder, which fills in no other embedded type.
type ScheduleFields struct {
	Kind  string          `json:"kind" minLength:"1" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$" doc:"Picks the handler of its tasks." example:"report.daily"`
	Args  json.RawMessage `json:"args,omitempty" doc:"Any JSON value, for the handler."`
	Queue string          `json:"queue,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" doc:"Instead of where its kind is routed to." example:"bulk"`

	At      *time.Time `json:"at,omitempty" doc:"The one time when it is due. Of at, every and cron there must be exactly one." example:"2027-03-28T09:00:00+02:00"`
	Every   string     `json:"every,omitempty" doc:"How long it is from one due time to the next: whole seconds, counted from 1970-01-01 00:00 UTC." example:"1h"`
	Cron    string     `json:"cron,omitempty" maxLength:"256" doc:"Minute, hour, day of month, month and day of week; six fields begin with the second. @every 5m and @at 2027-01-01T00:00:00Z are kept as every and at." example:"0 9 * * mon-fri"`
	Zone    string     `json:"zone,omitempty" maxLength:"64" doc:"The IANA name of the clock that cron is read on. Default: UTC." example:"Europe/Berlin"`
	Start   *time.Time `json:"start,omitempty" doc:"No due time is before it. Goes with every and cron."`
	End     *time.Time `json:"end,omitempty" doc:"No due time is after it; then the schedule is finished. Goes with every and cron."`
	Jitter  string     `json:"jitter,omitempty" minLength:"1" doc:"How long after its due time a task may be submitted, up to 24h in whole seconds, but before the next due time. How long it is follows from the name and the due time." example:"30s"`
	Overlap string     `json:"overlap,omitempty" enum:"allow,skip" doc:"What happens when the task before is not finished: the next one is submitted all the same (allow), or left out (skip). Default: allow."`
	CatchUp string     `json:"catch_up,omitempty" enum:"once,skip" doc:"What happens with due times that were missed, since no scheduler ran or the schedule was paused: one task is submitted for all of them (once), or none (skip). Default: once."`
	OptionsBody
}

// Resolve finds what the schema cannot: huma reports it together with the rest.
func (b *scheduleBody) Resolve(huma.Context) []error { return b.violations() }

// Resolve finds what the schema cannot.
func (b *newScheduleBody) Resolve(huma.Context) []error { return b.violations() }

var (
	_ huma.Resolver = (*scheduleBody)(nil)
	_ huma.Resolver = (*newScheduleBody)(nil)
)

func (b *ScheduleFields) violations() []error {
	_, violations := b.schedule("any")
	return violations
}

// schedule is what the body says, with every violation in it.
func (b *ScheduleFields) schedule(name string) (millrace.Schedule, []error) {
	options, violations := b.options()
	d := durations{violations}
	s := millrace.Schedule{
		Name: name, Kind: b.Kind, Queue: b.Queue, Args: b.Args, Options: options,
		Cron: b.Cron, Zone: b.Zone, Overlap: b.Overlap, CatchUp: b.CatchUp,
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
		if canonical, err := (millrace.Schedule{Cron: b.Cron}).Canonical(); b.Cron != "" && (err != nil || canonical.Cron != "") {
			zoned = millrace.Schedule{Cron: "@hourly", Zone: b.Zone}
		}
		d.checkTimes("body.zone", zoned)
	}
	if forms != 1 {
		d.refuse("body", fmt.Sprintf("must have exactly one of at, every and cron, not %d of them", forms), nil)
	}
	b.bound(&d, &s)
	if len(d.violations) == 0 {
		canonical, err := s.Canonical()
		if err == nil {
			return canonical, nil
		}
		d.refuse("body.cron", err.Error(), nil)
	}
	return s, d.violations
}

// bound reads what bounds and spreads the due times.
func (b *ScheduleFields) bound(d *durations, s *millrace.Schedule) {
	if s.Jitter = d.parse("body.jitter", b.Jitter, 0, time.Duration(millrace.MaxJitter)); s.Jitter%millrace.Duration(time.Second) != 0 {
		d.refuse("body.jitter", "must be whole seconds", b.Jitter)
	}
	once := b.At != nil || strings.HasPrefix(strings.ToLower(strings.TrimSpace(b.Cron)), "@at")
	for name, bound := range map[string]*time.Time{"start": b.Start, "end": b.End} {
		if bound != nil && once {
			d.refuse("body."+name, "goes with every and cron: at is the one time already", nil)
		}
	}
	if b.Start != nil {
		s.Start = *b.Start
	}
	if b.End != nil {
		s.End = *b.End
	}
	if b.Start != nil && b.End != nil && !b.End.After(*b.Start) {
		d.refuse("body.end", "must be after start", nil)
	}
	if len(d.violations) > 0 || s.Start.IsZero() && s.End.IsZero() {
		return
	}
	if recurrence, err := scheduler.Parse(*s); err == nil {
		due, ok := recurrence.Next(time.Now())
		switch {
		case !ok:
			d.refuse("body.end", "has passed, or comes before anything is due", nil)
		case due.After(time.Now().Add(maxAhead)):
			d.refuse("body.start", "must be at most 100 years ahead", nil)
		}
	}
}

// fieldsOf is what a schedule says, as it is sent.
func fieldsOf(s millrace.Schedule) ScheduleFields {
	return ScheduleFields{
		Kind: s.Kind, Args: s.Args, Queue: s.Queue, OptionsBody: optionsOf(s.Options),
		At: present(s.At), Every: shownDuration(s.Every), Cron: s.Cron, Zone: s.Zone,
		Start: present(s.Start), End: present(s.End), Jitter: shownDuration(s.Jitter), Overlap: s.Overlap, CatchUp: s.CatchUp,
	}
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
