package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"millrace"
)

// Schedule is a schedule that is written down, and how it stands.
type Schedule struct {
	millrace.Schedule
	// NextAt is when it is due next, and Next when it is the next few times; that only
	// [Client.Schedule] says.
	NextAt time.Time   `json:"next_at"`
	Next   []time.Time `json:"next"`
	// LastAt is the due time that was dealt with last, and LastTask the task that was
	// submitted last for one.
	LastAt   time.Time `json:"last_at"`
	LastTask string    `json:"last_task"`
	// Skipped is how many due times were left out, since the task before was not
	// finished.
	Skipped int `json:"skipped"`
}

func schedulePath(name string) string { return "/v1/schedules/" + url.PathEscape(name) }

// PutSchedule writes a schedule down, or replaces the one of that name. What is wrong
// with it is [millrace.ErrInvalid].
func (c *Client) PutSchedule(ctx context.Context, s millrace.Schedule) (put Schedule, err error) {
	s.Options = spelled(s.Options)
	body, err := json.Marshal(struct {
		millrace.Schedule
		Name struct{} `json:"name,omitzero"` // the path has it
	}{Schedule: s})
	if err != nil {
		return put, fmt.Errorf("%w: schedule %s: %w", millrace.ErrInvalid, s.Name, err)
	}
	_, err = c.call(ctx, request{method: http.MethodPut, path: schedulePath(s.Name), body: body}, &put)
	return put, err
}

// Schedule returns a schedule, or [millrace.ErrNotFound].
func (c *Client) Schedule(ctx context.Context, name string) (s Schedule, err error) {
	_, err = c.call(ctx, request{method: http.MethodGet, path: schedulePath(name)}, &s)
	return s, err
}

// Schedules returns all of them, by name.
func (c *Client) Schedules(ctx context.Context) (all []Schedule, err error) {
	query := url.Values{"limit": {strconv.Itoa(perPage)}}
	for {
		var page struct {
			Schedules  []Schedule `json:"schedules"`
			NextCursor string     `json:"next_cursor"`
		}
		if _, err := c.call(ctx, request{method: http.MethodGet, path: "/v1/schedules?" + query.Encode()}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Schedules...)
		if page.NextCursor == "" {
			return all, nil
		}
		query.Set("after", page.NextCursor)
	}
}

// CancelSchedule removes a schedule. What it has submitted goes on. There being none of
// that name is [millrace.ErrNotFound].
func (c *Client) CancelSchedule(ctx context.Context, name string) error {
	r := request{method: http.MethodDelete, path: schedulePath(name)}
	_, _, err := c.insist(ctx, &r)
	if errors.Is(err, millrace.ErrNotFound) && r.again {
		return nil // an earlier try has removed it, and its answer was lost
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return nil
}

// RunSchedule submits a task of a schedule now, besides those that are due. The same key
// runs the schedule once within a day; empty makes a new one.
func (c *Client) RunSchedule(ctx context.Context, name, idempotencyKey string) (Receipt, error) {
	return c.accepted(ctx, schedulePath(name)+"/run", nil, idempotencyKey)
}
