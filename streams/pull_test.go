package streams_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// puller is what both pullers have.
type puller interface {
	Ask(n int)
	Restore(ctx context.Context) error
	Close() error
}

// Whatever goes wrong with the requests of a puller, what comes afterwards is with it
// in two seconds.
func TestPullersRecover(t *testing.T) {
	for what, wrong := range map[string]func(t *testing.T, b *broker.Broker, store *streams.Store, stream, consumer string, p puller){
		"requests are lost": func(t *testing.T, _ *broker.Broker, _ *streams.Store, _, _ string, p puller) {
			p.Ask(3)
			p.Ask(100)
		},
		"the connection is lost": func(t *testing.T, _ *broker.Broker, store *streams.Store, _, _ string, p puller) {
			store.LoseLink()
			time.AfterFunc(100*time.Millisecond, store.RestoreLink)
		},
		"the consumer is deleted": func(t *testing.T, b *broker.Broker, _ *streams.Store, stream, consumer string, _ puller) {
			if err := inspect(t, b).DeleteConsumer(t.Context(), stream, consumer); err != nil {
				t.Error(err)
			}
		},
		"the server is restarted": func(t *testing.T, b *broker.Broker, store *streams.Store, _, _ string, _ puller) {
			b.Stop()
			time.Sleep(time.Second)
			b.Start()
			eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
		},
	} {
		for _, whose := range []string{"tasks", "due"} {
			t.Run(whose+": "+what, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := newBroker(t)
					store := open(t, b, streams.Config{})
					tasks, due := pull(t, store, "default"), pullDue(t, store, streams.ShardOf("t0"))
					p, stream, consumer := puller(tasks), "TASKS_default", "workers"
					if whose == "due" {
						p, stream, consumer = due, fmt.Sprintf("SCHEDULES_%d", streams.ShardOf("t0")), "movers"
					}
					next := func(ctx context.Context) (came bool, err error) {
						if whose == "due" {
							got, err := due.Next(ctx, 10)
							return len(got) > 0, err
						}
						got, err := tasks.Next(ctx, 10)
						return len(got) > 0, err
					}
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					defer cancel()
					if came, err := next(ctx); came || err != nil { // a request stands
						t.Fatal(came, err)
					}
					wrong(t, b, store, stream, consumer, p)
					put := inspect(t, b)
					subject, body := "tasks.default.demo-echo.t0", `{}`
					if whose == "due" {
						subject, body = fmt.Sprintf("due.%d.task.t0", streams.ShardOf("t0")), `{"task":{"id":"t0","kind":"demo.echo","queue":"default"}}`
					}
					if _, err := put.Publish(t.Context(), subject, []byte(body)); err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					for came := false; !came; {
						var err error
						if came, err = next(t.Context()); err != nil {
							time.Sleep(50 * time.Millisecond)
							_ = p.Restore(t.Context()) // it is tried again
						}
						if took := time.Since(start); took > 2*time.Second {
							t.Fatalf("not there after %s: %v", took, err)
						}
					}
				})
			})
		}
	}
}

func pullDue(t *testing.T, store *streams.Store, shard int) *streams.DuePuller {
	t.Helper()
	p, err := store.PullDue(shard)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What is no task of ours among what is due is dropped, and the rest goes on.
func TestDueByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		shard := streams.ShardOf("t0")
		other := (shard + 1) % store.Shards()
		good := `{"task":{"id":"t0","kind":"demo.echo","queue":"default"}}`
		for subject, body := range map[string]string{
			fmt.Sprintf("due.%d.task.t0", shard):            good,
			fmt.Sprintf("due.%d.task.t1", shard):            good,
			fmt.Sprintf("due.%d.task.t0", other):            good,
			fmt.Sprintf("due.%d.task.*", shard):             `{"task":{"id":"*","kind":"demo.echo","queue":"default"}}`,
			fmt.Sprintf("due.%d.task.bad", shard):           `{`,
			fmt.Sprintf("due.%d.task.empty", shard):         ``,
			fmt.Sprintf("due.%d.task.kind", shard):          `{"task":{"id":"kind","kind":">","queue":"default"}}`,
			fmt.Sprintf("due.%d.task.queue", shard):         `{"task":{"id":"queue","kind":"demo.echo","queue":"*"}}`,
			fmt.Sprintf("due.%d.task.a.b", shard):           good,
			fmt.Sprintf("due.%d.named.*", shard):            `{"name":"*"}`,
			fmt.Sprintf("due.%d.named.none", shard):         `{}`,
			fmt.Sprintf("due.%d.named.another", shard):      `{"name":"t0"}`,
			fmt.Sprintf("due.%d.something", shard):          ``,
			fmt.Sprintf("schedules.%d.task.*", shard):       good,
			fmt.Sprintf("schedules.%d.task.unknown", shard): `{`,
		} {
			if _, err := js.Publish(t.Context(), subject, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		for n := range store.Shards() {
			p := pullDue(t, store, n)
			for start := time.Now(); time.Since(start) < 3*time.Second; {
				got, err := p.Next(t.Context(), 100)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range got {
					if d.Task.ID != "t0" || d.Fired != nil {
						t.Errorf("due is %+v", d)
					}
				}
				move(t, store, got)
			}
		}
		if log := streamInfo(t, js, "TASKS_default").State; log.LastSeq != 1 {
			t.Errorf("%d tasks came to the log", log.LastSeq)
		}
		wantState(t, store, "t0", millrace.Pending)
		if n, err := store.SweepWaiting(t.Context()); n > 0 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
		if _, err := store.TrimDue(t.Context()); err != nil {
			t.Error(err)
		}
		if n := streamInfo(t, js, fmt.Sprintf("SCHEDULES_%d", shard)).State.Msgs; n != 2 {
			t.Errorf("%d messages are left", n)
		}
	})
}
