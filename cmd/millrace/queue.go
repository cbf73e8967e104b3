package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"millrace"
)

type queueCmd struct {
	List   queueListCmd   `cmd:"" help:"List the queues."`
	Show   queueShowCmd   `cmd:"" help:"Look at a queue."`
	Add    queueAddCmd    `cmd:"" help:"Add a queue, for all processes, without a restart."`
	Remove queueRemoveCmd `cmd:"" help:"Remove a queue that was added, if nothing uses it any more."`
	Pause  queuePauseCmd  `cmd:"" help:"Let no worker take tasks from a queue any more. What runs goes on, and what is submitted waits."`
	Resume queueResumeCmd `cmd:"" help:"End what pause and drain began."`
	Drain  queueDrainCmd  `cmd:"" help:"Let nothing into a queue any more, so that the workers empty it."`
	Purge  queuePurgeCmd  `cmd:"" help:"Cancel what is pending in a queue. Without --confirm it only says how much that is."`
	Route  queueRouteCmd  `cmd:"" help:"Say which kinds go to which queue, or look at it."`
}

// shownQueue is what the table shows of a queue.
type shownQueue struct {
	Name      string
	Pending   uint64
	OldestAt  *time.Time `json:"oldest_at"`
	InFlight  int        `json:"in_flight"`
	Paused    *time.Time
	Draining  *time.Time
	HeldUntil *time.Time `json:"held_until"`
}

// state is what is to be said of the queue besides its numbers.
func (q shownQueue) state() string {
	var is []string
	if q.Paused != nil {
		is = append(is, "paused since "+shownTime(q.Paused))
	}
	if q.Draining != nil {
		is = append(is, "draining since "+shownTime(q.Draining))
	}
	if q.HeldUntil != nil {
		is = append(is, "consumer paused until "+shownTime(q.HeldUntil))
	}
	return strings.Join(is, ", ")
}

type queueListCmd struct{ clientFlags }

// Run lists the queues.
func (c *queueListCmd) Run(ctx context.Context, io stdio) error {
	list := newTable(io.out, c.JSON, "QUEUE", "PENDING", "IN FLIGHT", "OLDEST", "STATE")
	err := c.each(ctx, "/v1/queues", "queues", func(one json.RawMessage) error {
		var q shownQueue
		if err := json.Unmarshal(one, &q); err != nil {
			return fmt.Errorf("the server's answer is no list of queues: %w", err)
		}
		return list.add(one, q.Name, strconv.FormatUint(q.Pending, 10), strconv.Itoa(q.InFlight), shownTime(q.OldestAt), q.state())
	})
	if err != nil {
		return err
	}
	return list.end("There are no queues.")
}

type queueArg struct {
	clientFlags
	Queue string `arg:"" name:"name" help:"The queue's name."`
}

func (c *queueArg) path(what string) string {
	return "/v1/queues/" + url.PathEscape(c.Queue) + what
}

func (c *queueArg) do(ctx context.Context, io stdio, method, what string) error {
	answer, err := c.call(ctx, method, c.path(what), nil, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

type (
	queueShowCmd   struct{ queueArg }
	queuePauseCmd  struct{ queueArg }
	queueResumeCmd struct{ queueArg }
	queueDrainCmd  struct{ queueArg }
)

// Run prints the queue.
func (c *queueShowCmd) Run(ctx context.Context, io stdio) error {
	return c.do(ctx, io, http.MethodGet, "")
}

// Run pauses the queue.
func (c *queuePauseCmd) Run(ctx context.Context, io stdio) error {
	return c.do(ctx, io, http.MethodPost, "/pause")
}

// Run resumes the queue.
func (c *queueResumeCmd) Run(ctx context.Context, io stdio) error {
	return c.do(ctx, io, http.MethodPost, "/resume")
}

// Run drains the queue.
func (c *queueDrainCmd) Run(ctx context.Context, io stdio) error {
	return c.do(ctx, io, http.MethodPost, "/drain")
}

type queueAddCmd struct {
	queueArg
	Weight count `help:"Its share of the handlers while other queues have tasks too." default:"1"`
	Strict bool  `help:"Serve it before all queues that are not strict."`
}

// Run adds the queue.
func (c *queueAddCmd) Run(ctx context.Context, io stdio) error {
	body, err := json.Marshal(map[string]any{"name": c.Queue, "weight": c.Weight, "strict": c.Strict})
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	answer, err := c.call(ctx, http.MethodPost, "/v1/queues", body, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

type queuePurgeCmd struct {
	queueArg
	Confirm *uint64 `help:"How many tasks are pending: if it is another number, nothing is purged." placeholder:"N"`
}

// Run purges as often as it takes.
func (c *queuePurgeCmd) Run(ctx context.Context, io stdio) error {
	if c.Confirm == nil {
		answer, err := c.call(ctx, http.MethodGet, c.path(""), nil, nil)
		if err != nil {
			return err
		}
		var q shownQueue
		if err := json.Unmarshal(answer, &q); err != nil {
			return fmt.Errorf("the server's answer is no queue: %w", err)
		}
		return fmt.Errorf("queue %s has %d pending tasks; to cancel them: millrace queue purge %s --confirm %d", c.Queue, q.Pending, c.Queue, q.Pending)
	}
	var all struct {
		Purged uint64 `json:"purged"`
		Left   uint64 `json:"left"`
	}
	for confirm, total := *c.Confirm, uint64(0); ; confirm = all.Left {
		answer, err := c.call(ctx, http.MethodPost, c.path("/purge?confirm="+strconv.FormatUint(confirm, 10)), nil, nil)
		if err != nil && total > 0 {
			return fmt.Errorf("%d tasks are purged, and then: %w", total, err)
		}
		if err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &all); err != nil {
			return fmt.Errorf("the server's answer tells no count: %w", err)
		}
		total += all.Purged
		if all.Left == 0 || all.Purged == 0 {
			all.Purged = total
			data, _ := json.Marshal(all) // numbers always encode
			return c.show(io.out, data)
		}
	}
}

type queueRouteCmd struct {
	clientFlags
	Routes []string `arg:"" optional:"" name:"route" help:"All routes from now on, as in mail.*=bulk: the first match wins, the rest goes to the queue default. None: look at those that hold."`
	Clear  bool     `help:"Let each process go by its configuration again."`
}

// Run replaces the routes, or shows them.
func (c *queueRouteCmd) Run(ctx context.Context, io stdio) error {
	method, body := http.MethodGet, []byte(nil)
	switch {
	case c.Clear && len(c.Routes) > 0:
		return fmt.Errorf("--clear takes no routes, but there is %s", c.Routes[0])
	case c.Clear:
		method = http.MethodDelete
	case len(c.Routes) > 0:
		var routes []millrace.Route
		for _, spec := range c.Routes {
			r, err := millrace.ParseRoute(spec)
			if err != nil {
				return err
			}
			routes = append(routes, r)
		}
		var err error
		if body, err = json.Marshal(map[string]any{"routes": routes}); err != nil {
			return fmt.Errorf("routes: %w", err)
		}
		method = http.MethodPut
	}
	answer, err := c.call(ctx, method, "/v1/routes", body, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}
