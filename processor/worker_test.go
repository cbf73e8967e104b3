package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// onlyWorker waits until one worker is listed, and returns it.
func onlyWorker(t *testing.T, store *streams.Store) streams.Worker {
	t.Helper()
	var w streams.Worker
	eventually(t, "there is one worker", func() bool {
		all, err := store.Workers(t.Context())
		if len(all) == 1 {
			w = all[0]
		}
		return err == nil && len(all) == 1
	})
	return w
}

func command(t *testing.T, store *streams.Store, id, what, body string) streams.Worker {
	t.Helper()
	answer, err := store.CommandWorker(t.Context(), id, what, []byte(body))
	ok(t, err)
	var w streams.Worker
	ok(t, json.Unmarshal(answer, &w))
	return w
}

// A worker says what it runs, does what it is told from elsewhere, and is off the list
// when it has ended.
func TestWorkerIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, elsewhere := open(t, b, streams.Config{}), open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{Worker: "w.1 ü", Concurrency: 2, Version: "v1.2.3"})
		var running, most atomic.Int32
		handle(p, "test.slow", func(context.Context, millrace.RawTask) (any, error) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(10 * time.Second)
			running.Add(-1)
			return nil, nil
		})
		ended := make(chan error, 1)
		go func() { ended <- p.Run(context.Background()) }()
		for _, id := range strings.Fields("a b c d e f g h i j") {
			submit(t, store, newTask(id, "test.slow"))
		}
		time.Sleep(8 * time.Second)
		w := onlyWorker(t, elsewhere)
		if w.Name != "w.1 ü" || !strings.HasPrefix(w.ID, "w-1---") || w.Busy != 2 || w.Concurrency != 2 || len(w.Running) != 2 || w.MemoryBytes == 0 || w.Version != "v1.2.3" {
			t.Errorf("%+v", w)
		}
		if since := time.Since(w.Running[0].Since); since < 7*time.Second || since > 9*time.Second || w.Running[0].Kind != "test.slow" {
			t.Errorf("%+v", w.Running[0])
		}

		// Quiet: what runs ends, and nothing else begins. More at once: it goes on.
		if got := command(t, elsewhere, w.ID, "quiet", ""); !got.Quiet {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Minute)
		if got := onlyWorker(t, elsewhere); got.Busy != 0 || !got.Quiet {
			t.Errorf("%+v", got)
		}
		if got := command(t, elsewhere, w.ID, "concurrency", "4"); got.Quiet || got.Concurrency != 4 {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Second)
		if n := running.Load(); n != 4 {
			t.Errorf("%d run, want 4", n)
		}
		// Fewer: what runs goes on.
		command(t, elsewhere, w.ID, "concurrency", "1")
		if n := running.Load(); n != 4 {
			t.Errorf("%d run, want 4 still", n)
		}
		time.Sleep(10 * time.Second)
		if n := running.Load(); n != 1 {
			t.Errorf("%d run, want 1", n)
		}
		for _, wrong := range []string{"0", "-1", "many", "1e9"} {
			if _, err := elsewhere.CommandWorker(t.Context(), w.ID, "concurrency", []byte(wrong)); !errors.Is(err, millrace.ErrInvalid) {
				t.Errorf("%s: %v", wrong, err)
			}
		}
		if stacks, err := elsewhere.CommandWorker(t.Context(), w.ID, "stacks", nil); err != nil || !strings.Contains(string(stacks), "TestWorkerIsTold") {
			t.Errorf("%v\n%s", err, stacks)
		}
		if _, err := elsewhere.CommandWorker(t.Context(), "nobody", "quiet", nil); !errors.Is(err, millrace.ErrNotFound) {
			t.Error(err)
		}

		// As "nats micro ls" finds it.
		nc, err := nats.Connect("", nats.InProcessServer(b))
		ok(t, err)
		defer nc.Close()
		m, err := nc.Request("$SRV.PING.millrace-worker", nil, 5*time.Second)
		ok(t, err)
		if said := string(m.Data); !strings.Contains(said, `"version":"1.2.3"`) || !strings.Contains(said, w.ID) {
			t.Error(said)
		}

		command(t, elsewhere, w.ID, "stop", "")
		ok(t, <-ended)
		if all, err := elsewhere.Workers(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("%+v, %v", all, err)
		}
		if most.Load() > 4 {
			t.Errorf("%d ran at once", most.Load())
		}
		start(t, newWorkerFor(t, elsewhere, "test.slow"))
		for _, id := range strings.Fields("a b c d e f g h i j") {
			if r := finished(t, elsewhere, id); r.State != millrace.Succeeded || r.Lost != 0 {
				t.Errorf("%+v", r)
			}
		}
	})
}

func newWorkerFor(t *testing.T, store *streams.Store, kind string) *processor.Processor {
	t.Helper()
	p := newProcessor(t, store, processor.Config{})
	handle(p, kind, func(context.Context, millrace.RawTask) (any, error) { return nil, nil })
	return p
}

// One that dies is listed for a while and then not any more.
func TestWorkerThatDied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		ok(t, store.ReportWorker(t.Context(), streams.Worker{ID: "dead-1", Name: "dead"}))
		time.Sleep(streams.WorkerTTL - time.Second)
		if all, err := store.Workers(t.Context()); err != nil || len(all) != 1 {
			t.Errorf("%+v, %v", all, err)
		}
		time.Sleep(3 * time.Second)
		if all, err := store.Workers(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}
