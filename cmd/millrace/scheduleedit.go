package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
)

type scheduleEditCmd struct {
	clientFlags
	Name    string   `arg:"" help:"The schedule's name."`
	Kind    *string  `help:"What to do, as in report.daily."`
	Args    string   `help:"A JSON value for the handler: an object changes the members that it has, and null removes one."`
	At      *string  `help:"The one time when it is due, instead of when it was." xor:"when"`
	Every   *string  `help:"How long it is from one due time to the next, instead of when it was due." xor:"when"`
	Cron    *string  `help:"Minute, hour, day of month, month and day of week, instead of when it was due." xor:"when"`
	Clear   []string `help:"A field to leave to its default again, as in zone, end or max-attempts." placeholder:"FIELD"`
	IfMatch string   `help:"Only if it has this ETag still, in its quotes."`
	timingFlags
	optionFlags
}

// Run changes what the flags say, and prints what the API says of it.
func (c *scheduleEditCmd) Run(ctx context.Context, io stdio) error {
	patch, err := c.patch()
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/merge-patch+json"}}
	if c.IfMatch != "" {
		header.Set("If-Match", c.IfMatch)
	}
	return c.send(ctx, io, http.MethodPatch, schedulePath(c.Name), patch, header)
}

// patch is the JSON merge patch of the flags.
func (c *scheduleEditCmd) patch() ([]byte, error) {
	more := c.fields()
	maps.Copy(more, map[string]*string{"kind": c.Kind})
	data, err := c.body("", c.Args, more)
	if err != nil {
		return nil, err
	}
	patch := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	if c.Kind == nil {
		delete(patch, "kind")
	}
	null := json.RawMessage("null")
	clear := func(name string) {
		if _, given := patch[name]; !given {
			patch[name] = null
		}
	}
	// A schedule says when in one way only, so another one takes its place.
	for form, value := range map[string]*string{"at": c.At, "every": c.Every, "cron": c.Cron} {
		if value == nil {
			continue
		}
		for _, other := range []string{"at", "every", "cron"} {
			patch[other] = null
		}
		if patch[form], err = json.Marshal(*value); err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
		if form != "cron" {
			clear("zone")
		}
		if form == "at" {
			clear("start")
			clear("end")
		}
	}
	for _, name := range c.Clear {
		clear(strings.ReplaceAll(name, "-", "_"))
	}
	return json.Marshal(patch)
}

type schedulePauseCmd struct {
	clientFlags
	Name string `arg:"" help:"The schedule's name."`
}

// Run pauses the schedule and prints it.
func (c *schedulePauseCmd) Run(ctx context.Context, io stdio) error {
	return c.send(ctx, io, http.MethodPost, schedulePath(c.Name)+"/pause", nil, nil)
}

type scheduleResumeCmd struct {
	clientFlags
	Name string `arg:"" help:"The schedule's name."`
}

// Run resumes the schedule and prints it.
func (c *scheduleResumeCmd) Run(ctx context.Context, io stdio) error {
	return c.send(ctx, io, http.MethodPost, schedulePath(c.Name)+"/resume", nil, nil)
}
