package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"millrace"
)

// DeadQuery says which dead tasks to list. A field that is empty matches all.
type DeadQuery struct {
	Queue string
	Kind  string
	// Error is a part of the error's text, whatever the case.
	Error string
	// Since and Until are about when the tasks died: at Since or later, and before Until.
	Since, Until time.Time
}

// Dead is a task that has failed for good, as a list shows it.
type Dead struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Queue string `json:"queue"`
	// Error is why it failed for good.
	Error string `json:"error"`
	// Tried is how many runs counted, in all its lives, and Redrives how often it was
	// brought back before.
	Tried       int       `json:"tried"`
	Redrives    int       `json:"redrives"`
	Tags        []string  `json:"tags"`
	SubmittedAt time.Time `json:"submitted_at"`
	DiedAt      time.Time `json:"died_at"`
}

// Dead goes through the dead tasks that match, the one that died last first, page by page.
// An error is the last thing that it yields.
func (c *Client) Dead(ctx context.Context, q DeadQuery) iter.Seq2[Dead, error] {
	query := url.Values{"limit": {strconv.Itoa(perPage)}}
	for name, value := range map[string]string{
		"queue": q.Queue, "kind": q.Kind, "error": q.Error, "since": moment(q.Since), "until": moment(q.Until),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return pages[Dead](ctx, c, "/v1/dead", query)
}

// Redrive brings a dead task back into its queue, under its id and with its history, and
// returns its record. Args are for its handler instead of what it has; nil keeps that.
//
// One that is not dead is [millrace.ErrConflict], and the [Problem] has its State; one that
// is not there is [millrace.ErrNotFound].
func (c *Client) Redrive(ctx context.Context, id string, args any) (record millrace.Record, err error) {
	r := request{method: http.MethodPost, path: "/v1/dead/" + url.PathEscape(id) + "/redrive"}
	if args != nil {
		if r.body, err = json.Marshal(map[string]any{"args": args}); err != nil {
			return record, fmt.Errorf("%w: redrive task %s: %w", millrace.ErrInvalid, id, err)
		}
	}
	_, data, err := c.insist(ctx, &r)
	if p, ok := errors.AsType[*Problem](err); ok && r.again && p.Type == "urn:millrace:problem:not-dead" {
		return c.Get(ctx, id) // an earlier try has brought it back, and its answer was lost
	}
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil {
		return record, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return record, nil
}
