package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type taskCmd struct {
	Submit taskSubmitCmd `cmd:"" help:"Submit a task."`
	Get    taskGetCmd    `cmd:"" help:"Show a task."`
	Wait   taskWaitCmd   `cmd:"" help:"Wait until a task is finished, and show it. Exits 1 if it did not succeed."`
}

type taskSubmitCmd struct {
	clientFlags
	Kind        string   `arg:"" help:"What to do, as in mail.send."`
	Args        string   `arg:"" optional:"" help:"A JSON value for the handler."`
	Queue       string   `name:"to-queue" help:"The queue, instead of the one its kind is routed to."`
	MaxAttempts int      `help:"How often it may be tried, the first run included."`
	Backoff     string   `help:"The wait between attempts, as JSON: {\"policy\":\"exponential\",\"delay\":\"1s\",\"max\":\"1m\"}."`
	Timeout     string   `help:"How long one attempt may take, as in 1m30s."`
	ResultTTL   string   `name:"result-ttl" help:"How long the record is kept once the task is finished, as in 24h."`
	Tag         []string `help:"A word to find the task by."`
	Key         string   `name:"idempotency-key" help:"The same key with the same task is done once, within a day."`
}

// Run submits the task and prints what the API says of it.
func (c *taskSubmitCmd) Run(ctx context.Context, io stdio) error {
	body := map[string]any{"kind": c.Kind}
	for name, text := range map[string]string{"args": c.Args, "backoff": c.Backoff} {
		if text == "" {
			continue
		}
		if !json.Valid([]byte(text)) {
			return fmt.Errorf("%s is not JSON: %s", name, text)
		}
		body[name] = json.RawMessage(text)
	}
	for name, text := range map[string]string{"queue": c.Queue, "timeout": c.Timeout, "result_ttl": c.ResultTTL} {
		if text != "" {
			body[name] = text
		}
	}
	if c.MaxAttempts != 0 {
		body["max_attempts"] = c.MaxAttempts
	}
	if len(c.Tag) > 0 {
		body["tags"] = c.Tag
	}
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("task: %w", err)
	}
	header := http.Header{}
	if c.Key != "" {
		header.Set("Idempotency-Key", c.Key)
	}
	answer, err := c.call(ctx, http.MethodPost, "/v1/tasks", data, header)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

type taskGetCmd struct {
	clientFlags
	ID string `arg:"" help:"The task's id."`
}

// Run prints the task.
func (c *taskGetCmd) Run(ctx context.Context, io stdio) error {
	answer, err := c.call(ctx, http.MethodGet, "/v1/tasks/"+url.PathEscape(c.ID), nil, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

type taskWaitCmd struct {
	clientFlags
	ID      string        `arg:"" help:"The task's id."`
	Timeout time.Duration `name:"for" help:"How long to wait at most; 0s for as long as it takes." default:"0s"`
}

// longPoll is how long one request waits: well below what proxies allow.
const longPoll = 25 * time.Second

// Run asks again and again until the task is finished.
func (c *taskWaitCmd) Run(ctx context.Context, io stdio) error {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("task %s is not finished after %s", c.ID, c.Timeout))
		defer cancel()
	}
	for {
		answer, err := c.call(ctx, http.MethodGet, "/v1/tasks/"+url.PathEscape(c.ID)+"?wait="+longPoll.String(), nil, nil)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		var task struct{ State string }
		if err := json.Unmarshal(answer, &task); err != nil {
			return fmt.Errorf("the server's answer is no task: %w", err)
		}
		switch task.State {
		case "succeeded":
			return c.show(io.out, answer)
		case "failed", "cancelled":
			return errors.Join(c.show(io.out, answer), errReported)
		}
	}
}
