package metrics_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/metrics"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// A node that has done a bit of everything counts it right.
func TestCounts(t *testing.T) {
	url, store := serveNode(t)
	doABit(t, store)
	eventually(t, url, []string{
		`millrace_tasks_submitted_total 4`,
		`millrace_tasks_finished_total{state="succeeded"} 2`,
		`millrace_task_run_seconds_count 4`,
		`millrace_kind_submitted_total{kind="k.well",queue="default"} 2`,
		`millrace_kind_finished_total{kind="k.well",queue="default",state="succeeded"} 2`,
		`millrace_kind_finished_total{kind="k.ill",queue="bulk",state="failed"} 1`,
		`millrace_kind_finished_total{kind="k.none",queue="default",state="cancelled"} 1`,
		`millrace_kind_attempts_failed_total{kind="k.ill",queue="bulk"} 1`,
		`millrace_kind_run_seconds_count{kind="k.ill",queue="bulk"} 2`,
		`millrace_queue_pending{queue="default"} 0`, `millrace_queue_workers{queue="default"} 1`, `millrace_due_lag_seconds_count 1`,
		`millrace_dead_tasks 1`, `millrace_workers 1`, `millrace_leases_lost_total 0`, `millrace_broker_up 1`,
	})
}

// serveNode runs all roles until the test ends, and returns where the metrics are.
func serveNode(t *testing.T) (url string, store *streams.Store) {
	t.Helper()
	b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
	store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	p := processor.New(store, processor.Config{})
	processor.Handle(p, "k.well", func(context.Context, millrace.Task[any]) (any, error) { return nil, nil }, processor.Kind{})
	processor.Handle(p, "k.ill", func(context.Context, millrace.Task[any]) (any, error) { return nil, errors.New("ill") },
		processor.Kind{MaxAttempts: 2, Backoff: &millrace.Backoff{Policy: millrace.Fixed, Delay: millrace.Duration(time.Millisecond)}})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{p.Run, scheduler.New(store, scheduler.Config{}).Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { stop(); running.Wait() })
	return serve(t, metrics.Config{Store: store}), store
}

func doABit(t *testing.T, store *streams.Store) {
	t.Helper()
	task := func(id, kind, queue string) millrace.RawTask {
		return millrace.RawTask{ID: id, Kind: kind, Queue: queue, SubmittedAt: time.Now().UTC()}
	}
	if err := errors.Join(
		store.Submit(t.Context(), task("a", "k.well", "")),
		store.Submit(t.Context(), task("b", "k.ill", "bulk")),
		store.SubmitAt(t.Context(), task("c", "k.well", "default"), time.Now().Add(time.Second)),
		store.SubmitAt(t.Context(), task("d", "k.none", "default"), time.Now().Add(time.Hour)),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Cancel(t.Context(), "d"); err != nil {
		t.Fatal(err)
	}
}

// eventually returns what is told once that has all the lines.
func eventually(t *testing.T, url string, lines []string) (text string) {
	t.Helper()
	var missing []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		_, text = get(t, url+"/metrics")
		missing = slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.Contains(text, "\n"+l+"\n") })
		if len(missing) == 0 {
			return text
		}
	}
	t.Fatalf("never told:\n%s\nbut\n%s", strings.Join(missing, "\n"), text)
	return ""
}

// BenchmarkScrape reads the metrics of a node with 100,000 tasks that wait.
func BenchmarkScrape(b *testing.B) {
	server := broker.NewWith(b, embedded.Config{Port: -1, Sync: time.Minute})
	store, err := streams.Open(b.Context(), streams.Config{InProcess: server})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(store.Close)
	for range 200 {
		tasks := make([]millrace.RawTask, 500)
		for i := range tasks {
			tasks[i] = millrace.RawTask{ID: millrace.NewID(), Kind: "k." + string(rune('a'+i%26)), Queue: "default", SubmittedAt: time.Now().UTC()}
		}
		if err := errors.Join(store.SubmitMany(b.Context(), tasks)...); err != nil {
			b.Fatal(err)
		}
	}
	m, err := metrics.New(metrics.Config{Listen: "127.0.0.1:0", Store: store})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	b.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	for b.Loop() {
		resp, err := http.Get("http://" + m.Addr().String() + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}
