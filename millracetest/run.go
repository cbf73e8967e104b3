// Package millracetest tries handlers out: on a whole Millrace, with a broker, a worker
// and a scheduler in the test's own process, and on virtual time. An hour of retries
// takes a moment, and a week of schedules some seconds.
//
//	func TestWelcome(t *testing.T) {
//		millracetest.Run(t, func(t *testing.T, m *millracetest.Millrace) {
//			processor.Handle(m.Processor, "user.welcome", welcome, processor.Kind{})
//			id := m.Submit("user.welcome", User{Name: "Ada"})
//			if r := m.Wait(id); r.State != millrace.Succeeded {
//				t.Error(r.Error)
//			}
//		})
//	}
//
// Start reading at [Run]; the examples are in example_test.go.
//
// # Limits
//
// Time is virtual in a bubble of package [testing/synctest], and what holds there holds
// here. It goes on only when everything in the bubble waits for something in it: for a
// channel, a timer, a [sync.WaitGroup] of the bubble's own.
//
//   - A handler that waits for something outside, such as a real server, holds time up
//     until that answers. It is tried again as often as ever, but what it talks to has
//     another clock. Better give it a double, over a [net.Pipe] or as a function.
//   - A channel, a timer or a WaitGroup that was made outside must not be used inside: that
//     panics. So connect to nothing, and make no client, before Run.
//   - A goroutine that a handler has started must have ended when the test does, or it
//     fails as a deadlock. A mutex does not count as waiting: who holds one while time is to
//     go on holds up all who want it.
//   - One at a time: t.Parallel is not allowed inside, and of tests that are parallel
//     outside, Run lets one after another run. A parallel test that uses the NATS client
//     without Run, which keeps used timers for whoever is next, says so: [Beside]. A Run
//     inside another fails.
//   - The broker answers at once, and is never away. What holds when it dies is what Millrace's own
//     tests are for.
package millracetest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// Config is what is not as it is out of the box. The zero value is good for most.
type Config struct {
	// Queues are the lanes. Empty means [streams.DefaultQueues].
	Queues []string
	// Routes pick the queue of a task that names none.
	Routes []millrace.Route
	// Processor is how the worker works.
	Processor processor.Config
}

// Run runs do, in a bubble, on a Millrace that lasts as long. The clock begins at the next
// midnight, UTC, so that schedules are due as they were in the run before.
func Run(t *testing.T, do func(t *testing.T, m *Millrace)) {
	t.Helper()
	RunWith(t, Config{}, do)
}

// RunWith is Run with a configuration.
func RunWith(t *testing.T, cfg Config, do func(t *testing.T, m *Millrace)) {
	t.Helper()
	defer bubbles.enter(t, true)()
	midnight := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	broker.Bubble(t, midnight, func(t *testing.T) {
		do(t, open(t, cfg))
	})
}

// longest is how rarely the broker does what only a power cut, or a lost message, makes
// necessary. It would be most of what there is to do.
const longest = 10 * time.Minute

func open(t *testing.T, cfg Config) *Millrace {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := streams.Open(t.Context(), streams.Config{
		InProcess: broker.NewWith(t, embedded.Config{Port: -1, Sync: 24 * time.Hour}),
		Queues:    cfg.Queues, Routes: cfg.Routes, PullExpiry: longest, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if cfg.Processor.Logger == nil {
		cfg.Processor.Logger = log
	}
	m := &Millrace{Store: store, Processor: processor.New(store, cfg.Processor), Book: scheduler.NewBook(store), t: t, seen: map[string]bool{}}
	m.start = sync.OnceFunc(m.run)
	stop, err := store.Submissions(m.note)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// run starts the worker and the scheduler.
func (m *Millrace) run() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{m.Processor.Run, scheduler.New(m.Store, scheduler.Config{Tidy: time.Hour}).Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				m.t.Error(err)
			}
		})
	}
	m.t.Cleanup(func() { stop(); running.Wait() })
}
