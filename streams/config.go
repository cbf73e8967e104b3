package streams

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"millrace"
)

// Config says which broker to talk to and what should be on it. The zero value
// talks to a server on this machine and keeps one replica of everything.
type Config struct {
	// URL names the servers, comma separated. Empty means
	// nats://127.0.0.1:4222. Ignored with InProcess.
	URL string
	// InProcess connects to a server in this process, without a socket.
	InProcess interface{ InProcessConn() (net.Conn, error) }
	// Access is how this client tells the broker who it is.
	Access Access
	// Name is what the server calls this client. Empty means "millrace".
	Name string

	// Queues are the lanes that exist. Empty means [DefaultQueues].
	Queues []string
	// Routes pick the queue of a task that names none; first match wins, and
	// [millrace.DefaultQueue] takes the rest.
	Routes []millrace.Route
	// Limits are in force until [Store.SetLimits]; of those for one queue, kind or key
	// the first one counts.
	Limits []millrace.Limit
	// MaxQueueBytes is how large the log of one queue may grow; then it is full
	// and refuses work. Zero means 1 GiB.
	MaxQueueBytes int64
	// DeadRetention is how long dead tasks are kept, at least 1h; negative for good. Zero
	// means 90 days, or longer if the stream says so. Anything else is what the stream
	// gets, also if it was more: the same for all processes.
	DeadRetention time.Duration
	// Replicas is how many servers keep each stream: 1, 3 or 5. Zero means 1.
	Replicas int
	// AckWait is how long a worker may be silent about a task before another
	// one gets it. Zero means 30 s; at least 1 s.
	AckWait time.Duration

	// PullExpiry is for how long a request for messages stands at the server until it is
	// made again, and so how late it may be found out that one was lost. Zero means 1 s.
	// A test on virtual time, where nothing is lost, has less to do with a longer one.
	PullExpiry time.Duration

	// Async publishes every write on its own, instead of gathering those that
	// wait into one atomic batch. That is faster when the server does not sync
	// each write, and ten times slower when it does.
	Async bool
	// Timeout is how long one write or read may take. Zero means 5 s.
	Timeout time.Duration
	// Logger hears what no caller can be told. Nil means silence.
	Logger *slog.Logger
}

// DefaultQueues are the lanes out of the box.
func DefaultQueues() []string { return []string{"critical", "default", "bulk"} }

func (c Config) withDefaults() Config {
	c.URL = cmp.Or(c.URL, "nats://127.0.0.1:4222")
	c.Name = cmp.Or(c.Name, "millrace")
	if len(c.Queues) == 0 {
		c.Queues = DefaultQueues()
	}
	c.MaxQueueBytes = cmp.Or(c.MaxQueueBytes, 1<<30)
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.AckWait = cmp.Or(c.AckWait, 30*time.Second)
	c.PullExpiry = cmp.Or(c.PullExpiry, time.Second)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	var errs []error
	for i, q := range c.Queues {
		if err := millrace.ValidateQueue(q); err != nil {
			errs = append(errs, fmt.Errorf("queue %q: %w", q, err))
		}
		if slices.Contains(c.Queues[:i], q) {
			errs = append(errs, fmt.Errorf("queue %q is there twice", q))
		}
	}
	for _, r := range c.Routes {
		if !slices.Contains(c.Queues, r.Queue) {
			errs = append(errs, fmt.Errorf("route %s=%s: there is no queue %q; the queues are %s", r.Kinds, r.Queue, r.Queue, strings.Join(c.Queues, ", ")))
		}
	}
	if everything := millrace.RouteTo(c.Routes, "*"); !slices.Contains(c.Queues, everything) {
		errs = append(errs, fmt.Errorf("there is no queue %q, where tasks go that no route matches: add it, or a route for all the rest, as in \"*=%s\"", everything, c.Queues[0]))
	}
	for _, l := range c.Limits {
		if err := l.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.MaxQueueBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("a queue needs at least 1 MiB, not %d bytes", c.MaxQueueBytes))
	}
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		errs = append(errs, fmt.Errorf("replicas must be 1, 3 or 5, not %d", c.Replicas))
	}
	if err := c.Access.validate(); err != nil {
		errs = append(errs, err)
	}
	if c.AckWait < time.Second {
		errs = append(errs, fmt.Errorf("the ack wait must be at least 1s, not %s", c.AckWait))
	}
	if c.DeadRetention > 0 && c.DeadRetention < time.Hour {
		errs = append(errs, fmt.Errorf("dead tasks must be kept for 1h at least, not %s", c.DeadRetention))
	}
	if c.PullExpiry < time.Millisecond {
		errs = append(errs, fmt.Errorf("the pull expiry must be at least 1ms, not %s", c.PullExpiry))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("the timeout must not be negative, but is %s", c.Timeout))
	}
	return errors.Join(errs...)
}
