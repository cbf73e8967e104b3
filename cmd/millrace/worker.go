package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

type workerCmd struct {
	List        workerListCmd        `cmd:"" help:"List the workers that run."`
	Quiet       workerQuietCmd       `cmd:"" help:"Let a worker take no new tasks; it finishes those that run."`
	Resume      workerResumeCmd      `cmd:"" help:"Let it take tasks again."`
	Stop        workerStopCmd        `cmd:"" help:"Stop a worker, as Ctrl-C would."`
	Concurrency workerConcurrencyCmd `cmd:"" help:"Change how many handlers a worker runs at once, until it is started anew."`
	Stacks      workerStacksCmd      `cmd:"" help:"Print what a worker's goroutines are at."`
}

type workerListCmd struct{ clientFlags }

// Run lists the workers.
func (c *workerListCmd) Run(ctx context.Context, io stdio) error {
	list := newTable(io.out, c.JSON, "WORKER", "BUSY", "MEMORY", "SINCE", "VERSION", "STATE")
	err := c.each(ctx, "/v1/workers", "workers", func(one json.RawMessage) error {
		var w struct {
			ID, Version       string
			Concurrency, Busy int
			StartedAt         time.Time `json:"started_at"`
			MemoryBytes       uint64    `json:"memory_bytes"`
			Quiet, Stopping   bool
		}
		if err := json.Unmarshal(one, &w); err != nil {
			return fmt.Errorf("the server's answer is no list of workers: %w", err)
		}
		state := ""
		switch {
		case w.Stopping:
			state = "stopping"
		case w.Quiet:
			state = "quiet"
		}
		return list.add(one, w.ID, fmt.Sprintf("%d/%d", w.Busy, w.Concurrency), fmt.Sprintf("%d MiB", w.MemoryBytes>>20), shownTime(&w.StartedAt), w.Version, state)
	})
	if err != nil {
		return err
	}
	return list.end("No worker runs.")
}

type workerArg struct {
	clientFlags
	ID string `arg:"" help:"The worker's id, as the list has it."`
}

func (c *workerArg) do(ctx context.Context, io stdio, what string, body []byte) error {
	answer, err := c.call(ctx, http.MethodPost, "/v1/workers/"+url.PathEscape(c.ID)+"/"+what, body, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

type (
	workerQuietCmd  struct{ workerArg }
	workerResumeCmd struct{ workerArg }
	workerStopCmd   struct{ workerArg }
)

// Run lets the worker take no new tasks.
func (c *workerQuietCmd) Run(ctx context.Context, io stdio) error { return c.do(ctx, io, "quiet", nil) }

// Run lets it take tasks again.
func (c *workerResumeCmd) Run(ctx context.Context, io stdio) error {
	return c.do(ctx, io, "resume", nil)
}

// Run stops it.
func (c *workerStopCmd) Run(ctx context.Context, io stdio) error { return c.do(ctx, io, "stop", nil) }

type workerConcurrencyCmd struct {
	workerArg
	N count `arg:"" help:"How many handlers."`
}

// Run sets the number.
func (c *workerConcurrencyCmd) Run(ctx context.Context, io stdio) error {
	return c.do(ctx, io, "concurrency", []byte(`{"concurrency":`+strconv.Itoa(int(c.N))+`}`))
}

type workerStacksCmd struct{ workerArg }

// Run prints the stacks, with --json as they come.
func (c *workerStacksCmd) Run(ctx context.Context, io stdio) error {
	answer, err := c.call(ctx, http.MethodGet, "/v1/workers/"+url.PathEscape(c.ID)+"/stacks", nil, nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.show(io.out, answer)
	}
	var all struct{ Stacks string }
	if err := json.Unmarshal(answer, &all); err != nil {
		return fmt.Errorf("the server's answer has no stacks: %w", err)
	}
	_, err = fmt.Fprintln(io.out, all.Stacks)
	return err
}
