package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"
)

type taskCmd struct {
	Submit taskSubmitCmd `cmd:"" help:"Submit a task."`
	Import taskImportCmd `cmd:"" help:"Submit the tasks of a file."`
	Get    taskGetCmd    `cmd:"" help:"Show a task."`
	Wait   taskWaitCmd   `cmd:"" help:"Wait until a task is finished, and show it. Exits 1 if it did not succeed."`
	Cancel taskCancelCmd `cmd:"" help:"Call tasks off, also running ones, and show them. Exits 1 if any has succeeded or failed already."`
	List   taskListCmd   `cmd:"" help:"Find tasks by what they are and say, whatever their state, the one that changed last first."`
}

type taskSubmitCmd struct {
	clientFlags
	Kind  string  `arg:"" help:"What to do, as in mail.send."`
	Args  string  `arg:"" optional:"" help:"A JSON value for the handler."`
	Delay *string `help:"How long it waits before it may run, as in 30s."`
	RunAt *string `help:"When it may run, as in 2027-03-28T09:00:00+02:00."`
	optionFlags
	uniqueFlags
	Once string `name:"idempotency-key" help:"The same key with the same task is done once, within a day."`
}

// optionFlags say how a task is carried out.
type optionFlags struct {
	Queue       *string  `name:"to-queue" help:"The queue, instead of the one its kind is routed to."`
	MaxAttempts *int     `help:"How often it may be tried, the first run included."`
	Backoff     string   `help:"The wait between attempts, as in 30s, or as JSON: {\"policy\":\"exponential\",\"delay\":\"1s\",\"max\":\"1m\"}."`
	Key         *string  `help:"What the task is about, as in customer:42. Of those with the same key one runs at a time, in order."`
	Timeout     *string  `help:"How long one attempt may take, as in 1m30s."`
	ResultTTL   *string  `name:"result-ttl" help:"How long the record is kept once the task is finished, as in 24h."`
	Tag         []string `help:"A word to keep with the task."`
}

// body is the JSON text that asks for a task of that kind: what the flags say, and
// what more does. A flag that is given and empty is for the API to refuse.
func (f *optionFlags) body(kind, args string, more map[string]*string) ([]byte, error) {
	body := map[string]any{"kind": kind}
	backoff := f.Backoff
	if _, err := time.ParseDuration(backoff); err == nil {
		backoff = fmt.Sprintf(`{"policy":"fixed","delay":%q}`, backoff)
	}
	for name, text := range map[string]string{"args": args, "backoff": backoff} {
		if text == "" {
			continue
		}
		if !json.Valid([]byte(text)) {
			return nil, fmt.Errorf("%s is not JSON: %s", name, text)
		}
		body[name] = json.RawMessage(text)
	}
	maps.Copy(more, map[string]*string{"queue": f.Queue, "key": f.Key, "timeout": f.Timeout, "result_ttl": f.ResultTTL})
	for name, text := range more {
		if text != nil {
			body[name] = *text
		}
	}
	if f.MaxAttempts != nil {
		body["max_attempts"] = *f.MaxAttempts
	}
	if len(f.Tag) > 0 {
		body["tags"] = f.Tag
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	return data, nil
}

// Run submits the task and prints what the API says of it.
func (c *taskSubmitCmd) Run(ctx context.Context, io stdio) error {
	data, err := c.body(c.Kind, c.Args, map[string]*string{"delay": c.Delay, "run_at": c.RunAt})
	if err == nil {
		data, err = c.add(data)
	}
	if err != nil {
		return err
	}
	answer, err := c.call(ctx, http.MethodPost, "/v1/tasks", data, keyHeader(c.Once))
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

// keyHeader has the Idempotency-Key, if there is one.
func keyHeader(key string) http.Header {
	header := http.Header{}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	return header
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

type taskCancelCmd struct {
	clientFlags
	IDs []string `arg:"" name:"id" help:"The tasks' ids."`
}

// Run cancels one after another, and goes on after one that cannot be.
func (c *taskCancelCmd) Run(ctx context.Context, io stdio) error {
	var errs []error
	for _, id := range c.IDs {
		answer, err := c.call(ctx, http.MethodDelete, "/v1/tasks/"+url.PathEscape(id), nil, nil)
		if err == nil {
			err = c.show(io.out, answer)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
