package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type kindCmd struct {
	List   kindListCmd   `cmd:"" help:"List the kinds that are paused."`
	Pause  kindPauseCmd  `cmd:"" help:"Let no worker run tasks of a kind any more. What runs goes on."`
	Resume kindResumeCmd `cmd:"" help:"Let them be run again."`
}

type kindListCmd struct{ clientFlags }

// Run lists the kinds.
func (c *kindListCmd) Run(ctx context.Context, io stdio) error {
	list := newTable(io.out, c.JSON, "KIND", "PAUSED")
	err := c.each(ctx, "/v1/kinds", "kinds", func(one json.RawMessage) error {
		var k struct {
			Kind   string
			Paused *time.Time
		}
		if err := json.Unmarshal(one, &k); err != nil {
			return fmt.Errorf("the server's answer is no list of kinds: %w", err)
		}
		return list.add(one, k.Kind, shownTime(k.Paused))
	})
	if err != nil {
		return err
	}
	return list.end("No kind is paused.")
}

type kindArg struct {
	clientFlags
	Kind string `arg:"" help:"The kind, as in mail.send."`
}

type (
	kindPauseCmd  struct{ kindArg }
	kindResumeCmd struct{ kindArg }
)

// Run pauses the kind.
func (c *kindPauseCmd) Run(ctx context.Context, io stdio) error { return c.do(ctx, io, "pause") }

// Run resumes the kind.
func (c *kindResumeCmd) Run(ctx context.Context, io stdio) error { return c.do(ctx, io, "resume") }

func (c *kindArg) do(ctx context.Context, io stdio, what string) error {
	answer, err := c.call(ctx, http.MethodPost, "/v1/kinds/"+url.PathEscape(c.Kind)+"/"+what, nil, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

// each calls add with each entry of a list that has one page.
func (f clientFlags) each(ctx context.Context, path, name string, add func(json.RawMessage) error) error {
	answer, err := f.call(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	var lists map[string]json.RawMessage
	var all []json.RawMessage
	err = json.Unmarshal(answer, &lists)
	if err == nil {
		err = json.Unmarshal(lists[name], &all)
	}
	if err != nil {
		return fmt.Errorf("the server's answer is no list of %s: %w", name, err)
	}
	for _, one := range all {
		if err := add(one); err != nil {
			return err
		}
	}
	return nil
}
