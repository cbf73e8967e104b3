package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"millrace"
)

// Task is a task to be submitted. A field that is zero leaves the choice to the gateway
// and to the task's kind.
type Task struct {
	// ID is the task's id, of A-Z, a-z, 0-9, "_" and "-": to submit the same task under the
	// same id again is to submit it once, for as long as its queue's log remembers it, and
	// another task under it is [millrace.ErrConflict]. Empty lets a new one be made.
	ID string `json:"id,omitzero"`
	// Kind picks the handler, as in "mail.send".
	Kind string `json:"kind"`
	// Args is what the handler works on, as encoding/json encodes it; nil is nothing.
	Args any `json:"args,omitempty"`
	// Queue is the lane, instead of where its kind is routed to.
	Queue string `json:"queue,omitzero"`
	// Delay is how long the task waits before it may run, counted from when it was
	// first asked for. RunAt is the time itself; one of the two.
	Delay millrace.Duration `json:"delay,omitzero"`
	RunAt time.Time         `json:"run_at,omitzero"`
	millrace.Options
	// Unique lets one task at a time have a key. Nil asks for nothing of the kind.
	Unique *Unique `json:"unique,omitempty"`

	// IdempotencyKey names the submission: the same task under the same key is submitted
	// once within a day, also by another process. Empty makes a new one, which holds for
	// the tries of one call.
	// There is no use for a key where there is an ID.
	IdempotencyKey string `json:"-"`
}

// Receipt says that a task is on disk, and will be carried out.
type Receipt struct {
	ID    string         `json:"id"`
	Kind  string         `json:"kind"`
	Queue string         `json:"queue"` // not known of one of many that names none
	State millrace.State `json:"state"`
	// NextAt is when it may run, if it is scheduled.
	NextAt time.Time `json:"next_at"`
	// Existing means that another task has the unique key, and that this is of it: its
	// state may be any then, and is empty if its record has expired.
	Existing bool `json:"existing"`
	// Replaced means that it has got the args, options and time of this submission.
	Replaced bool `json:"replaced"`
	// Replayed means that this is the answer to an earlier try, or an earlier request,
	// with the same key: the state is what it was then.
	Replayed bool `json:"-"`
}

// Submit submits a task. When it returns nil the task is on disk.
//
// Errors wrap [millrace.ErrInvalid] (it cannot be taken as it is),
// [millrace.ErrConflict] (the key was used for another task, or another task has the
// unique key: then the [Problem] has its Location), [millrace.ErrQueueFull]
// (nothing was stored) or [millrace.ErrUnavailable] (it may be stored or not: with a key
// of one's own, to submit it again is safe).
func (c *Client) Submit(ctx context.Context, t Task) (Receipt, error) {
	if t.ID != "" {
		answers, _ := c.SubmitMany(ctx, []Task{t}) // it is the one way to give an id
		return answers[0].Receipt, answers[0].Err
	}
	body, err := t.body()
	if err != nil {
		return Receipt{}, err
	}
	return c.accepted(ctx, "/v1/tasks", body, t.IdempotencyKey)
}

// accepted posts what makes a task.
func (c *Client) accepted(ctx context.Context, path string, body []byte, key string) (r Receipt, err error) {
	if key == "" {
		key = millrace.NewID()
	}
	header, err := c.call(ctx, request{method: http.MethodPost, path: path, body: body, key: key}, &r)
	r.Replayed = header.Get("Idempotent-Replayed") == "true"
	return r, err
}

func (t Task) body() ([]byte, error) {
	t.Options = spelled(t.Options)
	data, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("%w: task %s: %w", millrace.ErrInvalid, t.Kind, err)
	}
	return data, nil
}

// spelled is o with what the API wants to be said.
func spelled(o millrace.Options) millrace.Options {
	if o.Backoff != nil && o.Backoff.Policy == "" {
		b := *o.Backoff
		b.Policy = millrace.Fixed
		o.Backoff = &b
	}
	return o
}
