package alerts_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"millrace"
	"millrace/alerts"
	"millrace/signing"
	"millrace/streams"
	"millrace/test/broker"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
	)
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is a webhook that hears of alerts.
type receiver struct {
	t *testing.T

	mu   sync.Mutex
	down bool
	seen map[string]int // by webhook-id, how often it has arrived
	told []string       // "began rule subject", each webhook-id once
}

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	if r.down {
		return nil, errors.New("nobody is at home")
	}
	keys, err := signing.Keys("test", []string{secret})
	if err != nil {
		return nil, err
	}
	id, at := q.Header.Get("webhook-id"), q.Header.Get("webhook-timestamp")
	if q.Header.Get("webhook-signature") != signing.Sign(keys[0], id, at, body) || at != strconv.FormatInt(time.Now().Unix(), 10) {
		r.t.Errorf("signature of %s", body)
	}
	var event struct {
		Type string
		Data alerts.Alert
	}
	if err := json.Unmarshal(body, &event); err != nil || event.Data.Text == "" {
		r.t.Errorf("%s: %v", body, err)
	}
	if r.seen[id]++; r.seen[id] == 1 {
		r.told = append(r.told, strings.TrimSpace(strings.TrimPrefix(event.Type, "alert.")+" "+event.Data.Rule+" "+event.Data.Subject))
	}
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Header: http.Header{}, Request: q}, nil
}

func (r *receiver) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *receiver) heard() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

// scene is a Millrace that two processes watch.
type scene struct {
	*testing.T
	*receiver
	broker *broker.Broker
	store  *streams.Store

	disk sync.Mutex
	used uint64
}

func stage(t *testing.T, thresholds alerts.Thresholds, play func(*scene)) {
	t.Helper()
	broker.Bubble(t, time.Now(), func(t *testing.T) {
		s := &scene{T: t, receiver: &receiver{t: t, seen: map[string]int{}}, broker: broker.New(t)}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for range 2 {
			store, err := streams.Open(t.Context(), streams.Config{InProcess: s.broker})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(store.Close)
			s.store = store
			w, err := alerts.New(store, alerts.Config{
				Thresholds: thresholds, Webhooks: []string{"http://hook.test/x"}, Secrets: []string{secret},
				Client: &http.Client{Transport: s.receiver},
				Disk: func(context.Context) (uint64, uint64, error) {
					s.disk.Lock()
					defer s.disk.Unlock()
					return s.used, 100, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() { _ = w.Run(ctx) })
			running.Go(func() { _ = store.KeepHistory(ctx) })
		}
		s.report(true)
		play(s)
		stop()
		running.Wait()
	})
}

// report lets a worker say that it serves all queues, or none any more.
func (s *scene) report(runs bool) {
	s.Helper()
	w := streams.Worker{ID: "w-1", Name: "w", Concurrency: 4, Queues: s.store.Queues(), At: time.Now()}
	if !runs {
		if err := s.store.ForgetWorker(s.Context(), w.ID); err != nil {
			s.Fatal(err)
		}
		return
	}
	if err := s.store.ReportWorker(s.Context(), w); err != nil {
		s.Fatal(err)
	}
}

// pass lets time pass, in which a worker runs.
func (s *scene) pass(d time.Duration) {
	s.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		s.report(true)
		time.Sleep(5 * time.Second)
	}
}

func (s *scene) submit(n int) {
	s.Helper()
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = millrace.RawTask{ID: millrace.NewID(), Kind: "demo.echo", Queue: "default", SubmittedAt: time.Now().UTC()}
	}
	for _, err := range s.store.SubmitMany(s.Context(), tasks) {
		if err != nil {
			s.Fatal(err)
		}
	}
}

// finish ends n tasks of the queue.
func (s *scene) finish(n int, state millrace.State) {
	s.Helper()
	p, err := s.store.Pull("default")
	if err != nil {
		s.Fatal(err)
	}
	for done := 0; done < n; {
		some, err := p.Next(s.Context(), n-done)
		if err != nil {
			s.Fatal(err)
		}
		for _, d := range some {
			r := millrace.Record{ID: d.Task.ID, Kind: d.Task.Kind, Queue: d.Task.Queue, State: state, SubmittedAt: d.Task.SubmittedAt}
			if err := s.store.Finish(s.Context(), d, r, time.Hour); err != nil {
				s.Fatal(err)
			}
		}
		done += len(some)
	}
	if err := p.Close(); err != nil {
		s.Error(err)
	}
}

// want checks which alerts are active, and all that the webhook was told.
func (s *scene) want(what string, active []string, told ...string) {
	s.Helper()
	now, _, err := alerts.List(s.Context(), s.store)
	if err != nil {
		s.Fatal(err)
	}
	var got []string
	for _, a := range now {
		got = append(got, strings.TrimSpace(a.Rule+" "+a.Subject))
	}
	slices.Sort(got)
	if !slices.Equal(got, active) {
		s.Errorf("%s: active are %q, want %q", what, got, active)
	}
	if heard := s.heard(); !slices.Equal(heard, told) {
		s.Errorf("%s: the webhook was told %q, want %q", what, heard, told)
	}
}

func TestFailureRatio(t *testing.T) {
	stage(t, alerts.Thresholds{OldestWaiting: -1}, func(s *scene) {
		s.submit(40)
		s.finish(5, millrace.Failed)
		s.pass(90 * time.Second)
		s.want("too few to tell", nil)
		s.finish(15, millrace.Succeeded)
		s.pass(90 * time.Second)
		s.want("a quarter", []string{"failure-ratio"}, "began failure-ratio")
		s.finish(4, millrace.Succeeded)
		s.pass(90 * time.Second)
		s.want("a little less", []string{"failure-ratio"}, "began failure-ratio")
		s.pass(4 * time.Minute)
		s.finish(16, millrace.Succeeded)
		s.pass(7 * time.Minute)
		s.want("over", nil, "began failure-ratio", "resolved failure-ratio")
	})
}

func TestOldestWaiting(t *testing.T) {
	stage(t, alerts.Thresholds{}, func(s *scene) {
		s.submit(1)
		s.pass(4 * time.Minute)
		s.want("not yet", nil)
		s.pass(90 * time.Second)
		s.want("waits", []string{"oldest-waiting default"}, "began oldest-waiting default")
		s.finish(1, millrace.Succeeded)
		s.pass(time.Minute)
		s.want("done", nil, "began oldest-waiting default", "resolved oldest-waiting default")
		s.submit(1)
		if err := s.store.PauseQueue(s.Context(), "default"); err != nil {
			s.Fatal(err)
		}
		s.pass(10 * time.Minute)
		s.want("paused", nil, "began oldest-waiting default", "resolved oldest-waiting default")
	})
}

func TestBacklogGrowth(t *testing.T) {
	stage(t, alerts.Thresholds{BacklogGrowth: 100, OldestWaiting: -1}, func(s *scene) {
		s.submit(50)
		s.pass(3 * time.Minute)
		s.want("few", nil)
		s.submit(101)
		s.pass(time.Minute)
		s.want("more", []string{"backlog-growth default"}, "began backlog-growth default")
		s.pass(12 * time.Minute)
		s.want("as many as before", nil, "began backlog-growth default", "resolved backlog-growth default")
	})
}

func TestNoWorker(t *testing.T) {
	stage(t, alerts.Thresholds{}, func(s *scene) {
		s.submit(1)
		s.pass(2 * time.Minute)
		s.want("a worker", nil)
		s.report(false)
		time.Sleep(40 * time.Second)
		s.want("not for long", nil)
		time.Sleep(time.Minute)
		s.want("none", []string{"no-worker default"}, "began no-worker default")
		s.pass(time.Minute)
		s.want("back", nil, "began no-worker default", "resolved no-worker default")
	})
}

func TestDeadGrowth(t *testing.T) {
	stage(t, alerts.Thresholds{DeadGrowth: 10, FailureRatio: -1, OldestWaiting: -1}, func(s *scene) {
		s.submit(20)
		s.finish(10, millrace.Failed)
		s.pass(2 * time.Minute)
		s.finish(9, millrace.Failed)
		s.pass(time.Minute)
		s.want("not so many", nil)
		s.submit(5)
		s.finish(5, millrace.Failed)
		s.pass(time.Minute)
		s.want("many", []string{"dead-growth"}, "began dead-growth")
		s.pass(12 * time.Minute)
		s.want("no more", nil, "began dead-growth", "resolved dead-growth")
	})
}

func TestScheduleLate(t *testing.T) {
	stage(t, alerts.Thresholds{}, func(s *scene) {
		task := millrace.RawTask{ID: "later", Kind: "demo.echo", Queue: "default", SubmittedAt: time.Now().UTC()}
		if err := s.store.SubmitAt(s.Context(), task, time.Now().Add(time.Minute)); err != nil {
			s.Fatal(err)
		}
		s.pass(100 * time.Second)
		s.want("due", nil)
		s.pass(time.Minute)
		s.want("late", []string{"schedule-late"}, "began schedule-late")
		for shard := range s.store.Shards() {
			p, err := s.store.PullDue(shard)
			if err != nil {
				s.Fatal(err)
			}
			for end := time.Now().Add(time.Minute); time.Now().Before(end); {
				due, err := p.Next(s.Context(), 10)
				if err == nil {
					err = s.store.Move(s.Context(), due)
				}
				if err != nil {
					s.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				s.Error(err)
			}
			s.report(true)
		}
		s.pass(time.Minute)
		s.want("moved", nil, "began schedule-late", "resolved schedule-late")
	})
}

func TestDiskFull(t *testing.T) {
	stage(t, alerts.Thresholds{}, func(s *scene) {
		fill := func(percent uint64) {
			s.disk.Lock()
			s.used = percent
			s.disk.Unlock()
			s.pass(time.Minute)
		}
		fill(85)
		s.want("as much as may be", nil)
		s.set(true)
		fill(86)
		s.want("more, and the webhook is away", []string{"disk-full"})
		fill(80)
		s.want("a little less", []string{"disk-full"})
		s.set(false)
		s.pass(10 * time.Minute)
		s.want("the webhook is back", []string{"disk-full"}, "began disk-full")
		fill(60)
		s.want("room", nil, "began disk-full", "resolved disk-full")
		for id, n := range s.seen {
			if n != 1 {
				s.Errorf("%s has arrived %d times", id, n)
			}
		}
	})
}

func TestLostLeases(t *testing.T) {
	stage(t, alerts.Thresholds{}, func(s *scene) {
		for range 11 {
			s.store.LostLease()
		}
		s.pass(90 * time.Second)
		s.want("lost", []string{"lost-leases"}, "began lost-leases")
		s.pass(7 * time.Minute)
		s.want("no more", nil, "began lost-leases", "resolved lost-leases")
	})
}

// An older copy of a log was put back, or what was in it is gone.
func TestConsumerAhead(t *testing.T) {
	stage(t, alerts.Thresholds{}, func(s *scene) {
		s.submit(3)
		s.finish(3, millrace.Succeeded)
		js := broker.Inspect(s.T, s.broker)
		log, err := js.Stream(s.Context(), "TASKS_default")
		if err != nil {
			s.Fatal(err)
		}
		consumer, err := log.Consumer(s.Context(), "workers")
		if err != nil {
			s.Fatal(err)
		}
		s.want("well", nil)
		cfg, of := log.CachedInfo().Config, consumer.CachedInfo().Config
		if err := js.DeleteStream(s.Context(), cfg.Name); err != nil {
			s.Fatal(err)
		}
		if _, err := js.CreateStream(s.Context(), cfg); err != nil {
			s.Fatal(err)
		}
		of.DeliverPolicy, of.OptStartSeq = jetstream.DeliverByStartSequencePolicy, 4
		if _, err := js.CreateConsumer(s.Context(), cfg.Name, of); err != nil {
			s.Fatal(err)
		}
		s.pass(time.Minute)
		s.want("ahead", []string{"consumer-ahead default"}, "began consumer-ahead default")
		s.submit(3)
		s.pass(time.Minute)
		s.want("caught up", nil, "began consumer-ahead default", "resolved consumer-ahead default")
	})
}

func TestBadConfig(t *testing.T) {
	for _, c := range []alerts.Config{
		{Webhooks: []string{"ftp://x/y"}, Secrets: []string{secret}},
		{Webhooks: []string{"/path"}, Secrets: []string{secret}},
		{Webhooks: []string{"https://hook.test"}},
		{Secrets: []string{"guess"}},
	} {
		if _, err := alerts.New(nil, c); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
