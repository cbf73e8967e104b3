package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type scheduleCmd struct {
	Add    scheduleAddCmd    `cmd:"" help:"Write a schedule down, or replace the one of that name."`
	Edit   scheduleEditCmd   `cmd:"" help:"Change some of a schedule."`
	List   scheduleListCmd   `cmd:"" help:"List the schedules."`
	Show   scheduleShowCmd   `cmd:"" help:"Show a schedule, when it is due next, and what became of its last due times."`
	Run    scheduleRunCmd    `cmd:"" help:"Submit a task of a schedule now, besides those that are due."`
	Pause  schedulePauseCmd  `cmd:"" help:"Submit nothing of a schedule until it is resumed."`
	Resume scheduleResumeCmd `cmd:"" help:"Let a schedule go on that is paused."`
	Cancel scheduleCancelCmd `cmd:"" help:"Remove a schedule. What it has submitted goes on."`
}

type scheduleAddCmd struct {
	clientFlags
	Name string `arg:"" optional:"" help:"The schedule's name (default: one that is made for it)."`
	New  bool   `help:"Refuse if there is one of that name."`
	Kind string `required:"" help:"What to do, as in report.daily."`
	Args string `help:"A JSON value for the handler."`

	At    *string `help:"The one time when it is due, as in 2027-03-28T09:00:00+02:00." xor:"when" required:""`
	Every *string `help:"How long it is from one due time to the next, as in 90s; 1h means full hours." xor:"when" required:""`
	Cron  *string `help:"Minute, hour, day of month, month and day of week, as in \"0 9 * * mon-fri\"; also \"@every 5m\" and \"@at 2027-01-01T00:00:00Z\"." xor:"when" required:""`
	timingFlags
	optionFlags
}

// timingFlags say more about when a schedule is due, and what happens then.
type timingFlags struct {
	Zone    *string `help:"The time zone that --cron is read in, as in Europe/Berlin (default: UTC)."`
	Start   *string `help:"No due time is before it, as in 2027-03-28T09:00:00+02:00."`
	End     *string `help:"No due time is after it; then the schedule is finished."`
	Jitter  *string `help:"How long after its due time a task may be submitted, as in 30s, so that many do not come at once."`
	Overlap *string `help:"When the task before is not finished: allow (the default) submits the next one all the same, skip leaves it out."`
	CatchUp *string `name:"catch-up" help:"When due times were missed: once (the default) submits one task for all of them, skip none."`
}

func (f *timingFlags) fields() map[string]*string {
	return map[string]*string{"zone": f.Zone, "start": f.Start, "end": f.End, "jitter": f.Jitter, "overlap": f.Overlap, "catch_up": f.CatchUp}
}

// Run writes the schedule down and prints what the API says of it.
func (c *scheduleAddCmd) Run(ctx context.Context, io stdio) error {
	more := c.fields()
	maps.Copy(more, map[string]*string{"at": c.At, "every": c.Every, "cron": c.Cron})
	method, path := http.MethodPut, schedulePath(c.Name)
	if c.New || c.Name == "" {
		method, path = http.MethodPost, "/v1/schedules"
		if c.Name != "" {
			more["name"] = &c.Name
		}
	}
	data, err := c.body(c.Kind, c.Args, more)
	if err != nil {
		return err
	}
	return c.send(ctx, io, method, path, data, nil)
}

func schedulePath(name string) string { return "/v1/schedules/" + url.PathEscape(name) }

type scheduleListCmd struct {
	clientFlags
	pageFlags
}

// listedSchedule is what the table shows of a schedule.
type listedSchedule struct {
	Name, Kind, Every, Cron, Zone string
	At                            *time.Time
	NextAt                        *time.Time `json:"next_at"`
	LastAt                        *time.Time `json:"last_at"`
	Skipped                       int
	Paused, Finished, Declared    bool
}

// state is what keeps it from being due, or from being changed.
func (s listedSchedule) state() string {
	var words []string
	for _, w := range []struct {
		word string
		is   bool
	}{{"paused", s.Paused}, {"finished", s.Finished}, {"declared", s.Declared}} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ", ")
}

func (s listedSchedule) when() string {
	switch {
	case s.At != nil:
		return "at " + shownTime(s.At)
	case s.Every != "":
		return "every " + s.Every
	}
	return strings.TrimSpace(s.Cron + " " + s.Zone)
}

// Run lists them, by name.
func (c *scheduleListCmd) Run(ctx context.Context, io stdio) error {
	list := newTable(io.out, c.JSON, "NAME", "KIND", "WHEN", "NEXT", "LAST", "SKIPPED", "STATE")
	err := c.pages(ctx, io, "/v1/schedules", "schedules", url.Values{}, c.pageFlags, func(one json.RawMessage) error {
		var s listedSchedule
		if err := json.Unmarshal(one, &s); err != nil {
			return fmt.Errorf("the server's answer is no list of schedules: %w", err)
		}
		return list.add(one, s.Name, s.Kind, shown(s.when(), 60), shownTime(s.NextAt), shownTime(s.LastAt), strconv.Itoa(s.Skipped), s.state())
	})
	if err != nil {
		return err
	}
	return list.end("There are no schedules.")
}

type scheduleShowCmd struct {
	clientFlags
	Name string `arg:"" help:"The schedule's name."`
}

// Run prints the schedule.
func (c *scheduleShowCmd) Run(ctx context.Context, io stdio) error {
	answer, err := c.call(ctx, http.MethodGet, schedulePath(c.Name), nil, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

type scheduleRunCmd struct {
	clientFlags
	Name string `arg:"" help:"The schedule's name."`
	Key  string `name:"idempotency-key" help:"The same key runs the schedule once, within a day."`
}

// Run submits the task and prints what the API says of it.
func (c *scheduleRunCmd) Run(ctx context.Context, io stdio) error {
	answer, err := c.call(ctx, http.MethodPost, schedulePath(c.Name)+"/run", nil, keyHeader(c.Key))
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

type scheduleCancelCmd struct {
	clientFlags
	Name string `arg:"" help:"The schedule's name."`
}

// Run removes the schedule; there is nothing to say then.
func (c *scheduleCancelCmd) Run(ctx context.Context, _ stdio) error {
	_, err := c.call(ctx, http.MethodDelete, schedulePath(c.Name), nil, nil)
	return err
}
