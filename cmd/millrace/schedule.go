package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type scheduleCmd struct {
	Add    scheduleAddCmd    `cmd:"" help:"Write a schedule down, or replace the one of that name."`
	List   scheduleListCmd   `cmd:"" help:"List the schedules."`
	Show   scheduleShowCmd   `cmd:"" help:"Show a schedule and when it is due next."`
	Run    scheduleRunCmd    `cmd:"" help:"Submit a task of a schedule now, besides those that are due."`
	Cancel scheduleCancelCmd `cmd:"" help:"Remove a schedule. What it has submitted goes on."`
}

type scheduleAddCmd struct {
	clientFlags
	Name    string  `arg:"" help:"The schedule's name."`
	Kind    string  `required:"" help:"What to do, as in report.daily."`
	Args    string  `help:"A JSON value for the handler."`
	At      *string `help:"The one time when it is due, as in 2027-03-28T09:00:00+02:00." xor:"when" required:""`
	Every   *string `help:"How long it is from one due time to the next, as in 90s; 1h means full hours." xor:"when" required:""`
	Cron    *string `help:"Minute, hour, day of month, month and day of week, as in \"0 9 * * mon-fri\"." xor:"when" required:""`
	Zone    *string `help:"The time zone that --cron is read in, as in Europe/Berlin (default: UTC)."`
	Overlap *string `help:"When the task before is not finished: allow (the default) submits the next one all the same, skip leaves it out."`
	optionFlags
}

// Run puts the schedule and prints what the API says of it.
func (c *scheduleAddCmd) Run(ctx context.Context, io stdio) error {
	data, err := c.body(c.Kind, c.Args, map[string]*string{"at": c.At, "every": c.Every, "cron": c.Cron, "zone": c.Zone, "overlap": c.Overlap})
	if err != nil {
		return err
	}
	answer, err := c.call(ctx, http.MethodPut, schedulePath(c.Name), data, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

func schedulePath(name string) string { return "/v1/schedules/" + url.PathEscape(name) }

type scheduleListCmd struct{ clientFlags }

// listedSchedule is what the table shows of a schedule.
type listedSchedule struct {
	Name, Kind, Every, Cron, Zone string
	At                            *time.Time
	NextAt                        *time.Time `json:"next_at"`
	LastAt                        *time.Time `json:"last_at"`
	Skipped                       int
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

// Run lists them all.
func (c *scheduleListCmd) Run(ctx context.Context, io stdio) error {
	answer, err := c.call(ctx, http.MethodGet, "/v1/schedules", nil, nil)
	if err != nil {
		return err
	}
	var all struct{ Schedules []json.RawMessage }
	if err := json.Unmarshal(answer, &all); err != nil {
		return fmt.Errorf("the server's answer is no list of schedules: %w", err)
	}
	list := newTable(io.out, c.JSON, "NAME", "KIND", "WHEN", "NEXT", "LAST", "SKIPPED")
	for _, one := range all.Schedules {
		var s listedSchedule
		if err := json.Unmarshal(one, &s); err != nil {
			return fmt.Errorf("the server's answer is no list of schedules: %w", err)
		}
		if err := list.add(one, s.Name, s.Kind, shown(s.when(), 60), shownTime(s.NextAt), shownTime(s.LastAt), strconv.Itoa(s.Skipped)); err != nil {
			return err
		}
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
