package processor_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// waitingTasks is how many tasks wait for their time.
func waitingTasks(t *testing.T, b *broker.Broker, store *streams.Store) int {
	t.Helper()
	return countWaiting(t, inspect(t, b), store.Shards())
}

func countWaiting(t *testing.T, js jetstream.JetStream, shards int) int {
	t.Helper()
	n := 0
	for shard := range shards {
		stream, err := js.Stream(t.Context(), fmt.Sprintf("SCHEDULES_%d", shard))
		if err != nil {
			t.Fatal(err)
		}
		for _, filter := range []string{"waiting.>", "schedules.*.task.>"} {
			info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(filter))
			if err != nil {
				t.Fatal(err)
			}
			n += len(info.State.Subjects)
		}
	}
	return n
}

// underWay is how many tasks of the queue its workers hold.
func underWay(t *testing.T, b *broker.Broker) int {
	t.Helper()
	consumer, err := inspect(t, b).Consumer(t.Context(), "TASKS_default", "workers")
	if err != nil {
		t.Fatal(err)
	}
	return consumer.CachedInfo().NumAckPending
}

// What waits for long is off its queue: it holds no place with the consumer, nor the
// log. It comes back when it is due, never early, with its attempts, also when its
// record is lost meanwhile.
func TestParked(t *testing.T) {
	const n = 20
	for name, c := range map[string]struct {
		err      error
		wait     time.Duration
		forget   bool // the records
		attempts int
		state    millrace.State
		number   int // of the last attempt
	}{
		"retry":                            {errors.New("no luck"), time.Hour, false, 2, millrace.Retrying, 2},
		"retry of a task without a record": {errors.New("no luck"), time.Hour, true, 1, millrace.Retrying, 2},
		"snooze":                           {millrace.Snooze(6 * time.Second), 6 * time.Second, false, 1, millrace.Scheduled, 1},
		"long snooze":                      {millrace.Snooze(2 * time.Hour), 2 * time.Hour, false, 1, millrace.Scheduled, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				p := newProcessor(t, store, processor.Config{})
				var runs atomic.Int32
				handle(p, "test.wait", func(_ context.Context, task millrace.RawTask) (any, error) {
					runs.Add(1)
					if time.Since(task.SubmittedAt) < c.wait {
						return nil, c.err
					}
					return task.Attempt, nil
				})
				start(t, p)
				synctest.Wait()
				tasks := make([]millrace.RawTask, n)
				for i := range tasks {
					tasks[i] = newTask(fmt.Sprintf("t%d", i), "test.wait")
					tasks[i].Backoff = &millrace.Backoff{Delay: millrace.Duration(c.wait)}
				}
				submit(t, store, tasks...)
				time.Sleep(3 * time.Second)
				due := map[string]time.Time{}
				for _, task := range tasks {
					r := lookup(t, store, task.ID)
					due[task.ID] = r.NextAt
					if r.State != c.state {
						t.Errorf("meanwhile %+v", r)
					}
				}
				if held, waiting := underWay(t, b), waitingTasks(t, b, store); held != 0 || waiting != n {
					t.Errorf("%d tasks are held and %d wait, want none and %d", held, waiting, n)
				}
				if trimmed := trim(t, store); trimmed != n {
					t.Errorf("%d tasks could be trimmed, want all %d", trimmed, n)
				}
				if c.forget {
					for _, task := range tasks {
						if err := purge(t, b, "KV_results", "$KV.results."+task.ID); err != nil {
							t.Fatal(err)
						}
						if r := lookup(t, store, task.ID); r.State != millrace.Retrying || r.NextAt.Before(due[task.ID]) {
							t.Errorf("without its record: %+v", r)
						}
					}
				}
				time.Sleep(time.Until(due["t0"]))
				for _, task := range tasks {
					r := finished(t, store, task.ID)
					last := r.Attempts[len(r.Attempts)-1]
					late := last.StartedAt.Sub(due[task.ID])
					if late < 0 || late > 1500*time.Millisecond {
						t.Errorf("it ran %s after it was due", late)
					}
					if len(r.Attempts) != c.attempts || last.Number != c.number || string(r.Result) != fmt.Sprint(c.number) || r.Lost != 0 || r.Parked != 0 {
						t.Errorf("%+v", r)
					}
					if !c.forget && r.Deliveries != 2 {
						t.Errorf("it was delivered %d times, want 2", r.Deliveries)
					}
				}
				if runs.Load() != 2*n {
					t.Errorf("%d tasks ran %d times, want twice each", n, runs.Load())
				}
				if waiting := waitingTasks(t, b, store); waiting != 0 {
					t.Errorf("%d wait still", waiting)
				}
			})
		})
	}
}
