package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Queue is how a queue stands.
type Queue struct {
	Name string `json:"name"`
	// Pending is how many tasks wait for their first worker, the first of them since
	// OldestAt.
	Pending  uint64    `json:"pending"`
	OldestAt time.Time `json:"oldest_at"`
	// InFlight is how many were given to workers and are not finished.
	InFlight int `json:"in_flight"`
	// Paused is since when no worker takes tasks from it, Draining since when nothing is
	// let in; zero if it is neither.
	Paused   time.Time `json:"paused"`
	Draining time.Time `json:"draining"`
}

func queuePath(name string) string { return "/v1/queues/" + url.PathEscape(name) }

// Queues returns all queues.
func (c *Client) Queues(ctx context.Context) ([]Queue, error) {
	var list struct {
		Queues []Queue `json:"queues"`
	}
	_, err := c.call(ctx, request{method: http.MethodGet, path: "/v1/queues"}, &list)
	return list.Queues, err
}

// PauseQueue lets no worker take tasks from a queue, until [Client.ResumeQueue]. What runs
// goes on, and tasks are still taken in. To pause it again changes nothing.
func (c *Client) PauseQueue(ctx context.Context, name string) (q Queue, err error) {
	_, err = c.call(ctx, request{method: http.MethodPost, path: queuePath(name) + "/pause"}, &q)
	return q, err
}

// ResumeQueue ends a pause, and a drain.
func (c *Client) ResumeQueue(ctx context.Context, name string) (q Queue, err error) {
	_, err = c.call(ctx, request{method: http.MethodPost, path: queuePath(name) + "/resume"}, &q)
	return q, err
}

// Worker is what a worker said of itself last, at most 15 s ago.
type Worker struct {
	ID string `json:"id"`
	// Name is what records call it.
	Name      string    `json:"name"`
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	// At is when it said so.
	At time.Time `json:"at"`
	// Concurrency is how many handlers it runs at once at most, Busy how many run.
	Concurrency int `json:"concurrency"`
	Busy        int `json:"busy"`
	// Running are the 100 of them that have run for longest.
	Running []RunningTask `json:"running"`
	// Stuck is how many were given up and have not returned.
	Stuck int `json:"stuck"`
	// Quiet is whether it takes no new tasks, Stopping whether it ends with those it has.
	Quiet    bool     `json:"quiet"`
	Stopping bool     `json:"stopping"`
	Queues   []string `json:"queues"`
	Kinds    []string `json:"kinds"`
	// MemoryBytes is what its process has from the system.
	MemoryBytes uint64 `json:"memory_bytes"`
	Goroutines  int    `json:"goroutines"`
}

// RunningTask is a task that a worker has.
type RunningTask struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	Queue string    `json:"queue"`
	Since time.Time `json:"since"`
}

// Workers returns the workers there are.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	var list struct {
		Workers []Worker `json:"workers"`
	}
	_, err := c.call(ctx, request{method: http.MethodGet, path: "/v1/workers"}, &list)
	return list.Workers, err
}
