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
	Queue string
	Kind  string
	// Tag is one of the task's tags.
	Tag string
	// Error is a part of the error's text, whatever the case.
	Error string
	// Text is a part of the id, the kind, a tag, the error, the args or the result, whatever
	// the case. The args of a task that finished long ago are not kept any more.
	Text string
	// Since and Until are about when the tasks last changed: at Since or later, and
	// before Until.
	Since, Until time.Time
}

// Listed is a task as a list shows it, without its result and its attempts.
type Listed struct {
	ID    string         `json:"id"`
	Kind  string         `json:"kind"`
	Queue string         `json:"queue"`
	State millrace.State `json:"state"`
	// Tried is how many runs counted so far.
	Tried int    `json:"tried"`
	Error string `json:"error"`
	// HeldBy is the limit that a pending task waits for.
	HeldBy string   `json:"held_by"`
	Tags   []string `json:"tags"`
	// ChangedAt is when something was last written of it.
	ChangedAt   time.Time `json:"changed_at"`
	SubmittedAt time.Time `json:"submitted_at"`
	NextAt      time.Time `json:"next_at"`
	FinishedAt  time.Time `json:"finished_at"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// perPage is how many tasks one request asks for: the most that the API gives.
const perPage = 200

// List goes through the tasks that match, whatever their state, the one that changed last
// first, page by page. An error is the last thing that it yields. A finished task is found
// for as long as its record is kept.
func (c *Client) List(ctx context.Context, q Query) iter.Seq2[Listed, error] {
	query := url.Values{"limit": {strconv.Itoa(perPage)}}
	for name, value := range map[string]string{
		"state": string(q.State), "queue": q.Queue, "kind": q.Kind, "tag": q.Tag, "error": q.Error, "q": q.Text,
		"since": moment(q.Since), "until": moment(q.Until),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return pages[Listed](ctx, c, "/v1/tasks", query)
}

// pages goes through a list of tasks page by page.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := maps.Clone(query) // it may be gone through again
		for {
			var page struct {
				Tasks      []T    `json:"tasks"`
				NextCursor string `json:"next_cursor"`
			}
			if _, err := c.call(ctx, request{method: http.MethodGet, path: path + "?" + query.Encode()}, &page); err != nil {
				var none T
				yield(none, err)
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
			query.Set("after", page.NextCursor)
		}
	}
}

// moment is a time as the API takes it, empty for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
