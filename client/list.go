package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"millrace"
)

// Query says which tasks to list. A field that is empty matches all.
type Query struct {
	State millrace.State
	Kind  string
	Queue string
}

// Listed is a task as a list shows it, without its result and its attempts.
type Listed struct {
	ID    string         `json:"id"`
	Kind  string         `json:"kind"`
	Queue string         `json:"queue"`
	State millrace.State `json:"state"`
	// Tried is how many runs counted so far.
	Tried       int       `json:"tried"`
	Error       string    `json:"error"`
	Tags        []string  `json:"tags"`
	SubmittedAt time.Time `json:"submitted_at"`
	NextAt      time.Time `json:"next_at"`
	FinishedAt  time.Time `json:"finished_at"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// perPage is how many tasks one request asks for: the most that the API gives.
const perPage = 200

// List goes through the tasks that have a record or wait for their time, the one that
// changed last first, page by page. An error is the last thing that it yields. A task
// that waits for its first worker, or is in its first run, has no record yet.
func (c *Client) List(ctx context.Context, q Query) iter.Seq2[Listed, error] {
	query := url.Values{"limit": {strconv.Itoa(perPage)}}
	for name, value := range map[string]string{"state": string(q.State), "kind": q.Kind, "queue": q.Queue} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return func(yield func(Listed, error) bool) {
		query := maps.Clone(query) // it may be gone through again
		for {
			var page struct {
				Tasks      []Listed `json:"tasks"`
				NextCursor string   `json:"next_cursor"`
			}
			if _, err := c.call(ctx, request{method: http.MethodGet, path: "/v1/tasks?" + query.Encode()}, &page); err != nil {
				yield(Listed{}, err)
				return
			}
			for _, t := range page.Tasks {
				if !yield(t, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			query.Set("cursor", page.NextCursor)
		}
	}
}
