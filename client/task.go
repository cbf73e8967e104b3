package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"millrace"
)

// longPoll is how long one request waits: well below what proxies allow.
const longPoll = 25 * time.Second

func taskPath(id string) string { return "/v1/tasks/" + url.PathEscape(id) }

// Get returns how a task stands. An id that was never accepted is
// [millrace.ErrNotFound], one whose record has expired [millrace.ErrGone].
func (c *Client) Get(ctx context.Context, id string) (r millrace.Record, err error) {
	_, err = c.call(ctx, request{method: http.MethodGet, path: taskPath(id)}, &r)
	return r, err
}

// Wait waits until a task is finished, however it ended, and returns its record. It asks
// again and again, so it outlasts gateways; errors are those of [Client.Get], and the
// context's.
func (c *Client) Wait(ctx context.Context, id string) (millrace.Record, error) {
	path := taskPath(id) + "?wait=" + longPoll.String()
	for {
		var r millrace.Record
		if _, err := c.call(ctx, request{method: http.MethodGet, path: path, wait: longPoll}, &r); err != nil || r.State.Final() {
			return r, err
		}
		if ctx.Err() != nil { // a gateway that stops answers at once
			return r, context.Cause(ctx)
		}
	}
}

// Result waits until a task is finished and decodes what its handler returned. A task
// that did not succeed is a [*TaskError].
func Result[T any](ctx context.Context, c *Client, id string) (result T, err error) {
	r, err := c.Wait(ctx, id)
	if err != nil {
		return result, err
	}
	if r.State != millrace.Succeeded {
		return result, &TaskError{r}
	}
	if len(r.Result) == 0 {
		return result, nil // it has none
	}
	if err := json.Unmarshal(r.Result, &result); err != nil {
		return result, fmt.Errorf("result of task %s: %w", id, err)
	}
	return result, nil
}

// TaskError says that a task was finished, but has not succeeded. One that was called off
// is [millrace.ErrCancelled].
type TaskError struct{ Record millrace.Record }

// Error says how the task ended, and why.
func (e *TaskError) Error() string {
	if e.Record.Error == "" {
		return fmt.Sprintf("task %s has %s", e.Record.ID, e.Record.State)
	}
	return fmt.Sprintf("task %s has %s: %s", e.Record.ID, e.Record.State, e.Record.Error)
}

// Unwrap gives [millrace.ErrCancelled], if it was called off.
func (e *TaskError) Unwrap() error {
	if e.Record.State == millrace.Cancelled {
		return millrace.ErrCancelled
	}
	return nil
}

// Cancel calls a task off, wherever it is, and returns its record. To cancel it again
// changes nothing. One that has succeeded or failed is [millrace.ErrConflict], and the
// [Problem] has its State.
func (c *Client) Cancel(ctx context.Context, id string) (r millrace.Record, err error) {
	_, err = c.call(ctx, request{method: http.MethodDelete, path: taskPath(id)}, &r)
	return r, err
}
