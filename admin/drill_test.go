package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// mill is all that works on a broker, and counts how often each task has succeeded.
type mill struct {
	t     *testing.T
	way   broker.Way
	store *streams.Store
	stop  func()

	mu   sync.Mutex
	runs map[string]int
	gate chan struct{} // closed to let drill.gated go on; nil lets it
}

// start starts a worker and a scheduler, until stop is called.
func start(t *testing.T, way broker.Way) *mill {
	t.Helper()
	s, err := streams.Open(t.Context(), streams.Config{InProcess: way, PullExpiry: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	m := &mill{t: t, way: way, store: s, runs: map[string]int{}}
	p := processor.New(s, processor.Config{Concurrency: 8, Grace: time.Millisecond})
	processor.Handle(p, "drill.quick", m.quick, processor.Kind{})
	processor.Handle(p, "drill.parent", m.parent, processor.Kind{})
	processor.Handle(p, "drill.flaky", m.flaky, processor.Kind{})
	processor.Handle(p, "drill.stuck", m.stuck, processor.Kind{})
	processor.Handle(p, "drill.gated", m.gated, processor.Kind{})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{p.Run, scheduler.New(s, scheduler.Config{}).Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	m.stop = sync.OnceFunc(func() { cancel(); running.Wait(); s.Close() })
	t.Cleanup(m.stop)
	return m
}

type args = json.RawMessage

func (m *mill) ran(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[id]++
}

func (m *mill) counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.runs)
}

func (m *mill) quick(_ context.Context, t millrace.Task[args]) (string, error) {
	m.ran(t.ID)
	return "ok", nil
}

func (m *mill) parent(ctx context.Context, t millrace.Task[args]) (string, error) {
	err := m.submit(ctx, "drill.quick", t.ID+"-child", millrace.Options{})
	if err != nil && !errors.Is(err, millrace.ErrConflict) { // it may have been submitted before
		return "", err
	}
	m.ran(t.ID)
	return "ok", nil
}

// flaky fails at first, and then waits so long that it is parked.
func (m *mill) flaky(_ context.Context, t millrace.Task[args]) (string, error) {
	if t.Attempt == 1 {
		return "", errors.New("not yet")
	}
	m.ran(t.ID)
	return "ok", nil
}

// stuck takes more than an hour.
func (m *mill) stuck(ctx context.Context, t millrace.Task[args]) (string, error) {
	select {
	case <-time.After(80 * time.Minute):
		m.ran(t.ID)
		return "ok", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// gated has a child as well.
func (m *mill) gated(ctx context.Context, t millrace.Task[args]) (string, error) {
	if m.gate != nil {
		<-m.gate
	}
	return m.parent(ctx, t)
}

func (m *mill) submit(ctx context.Context, kind, id string, o millrace.Options) error {
	return m.store.Submit(ctx, millrace.RawTask{ID: id, Kind: kind, Queue: "default", SubmittedAt: time.Now(), Options: o})
}

func (m *mill) mustSubmit(kind, id string, o millrace.Options) {
	m.t.Helper()
	if err := m.submit(m.t.Context(), kind, id, o); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mill) state(id string) millrace.State {
	m.t.Helper()
	found, err := m.store.Lookup(m.t.Context(), id)
	if err != nil {
		return ""
	}
	return found.Record.State
}

func (m *mill) awaitFinal(ids ...string) {
	m.t.Helper()
	for _, id := range ids {
		eventually(m.t, id+" is finished", func() bool { return m.state(id).Final() })
	}
}

// What is finished when a backup begins does not run again, and what is not does, also
// if tasks come, run, wait, and have children while it is made.
func TestDrillUnderLoad(t *testing.T) {
	broker.Bubble(t, time.Now(), func(t *testing.T) {
		m := start(t, broker.New(t))
		var accepted []string
		load := func(ctx context.Context, from, to int) (ids []string) {
			for n := from; n < to && ctx.Err() == nil; n++ {
				kind, o := "drill.quick", millrace.Options{ResultTTL: millrace.Duration(time.Second)}
				switch {
				case n%5 == 0:
					kind = "drill.parent"
				case n%7 == 0:
					kind, o = "drill.flaky", millrace.Options{Backoff: &millrace.Backoff{Policy: "fixed", Delay: millrace.Duration(6 * time.Second)}}
				}
				id := "load-" + strconv.Itoa(n)
				m.mustSubmit(kind, id, o)
				ids = append(ids, id)
			}
			return ids
		}
		m.mustSubmit("drill.stuck", "stuck", millrace.Options{})
		accepted = append(load(t.Context(), 0, 300), "stuck")
		eventually(t, "a good part is done", func() bool { return len(m.counts()) > 150 })

		ctx, enough := context.WithCancel(t.Context())
		var loading sync.WaitGroup
		var late []string
		loading.Go(func() { late = load(ctx, 300, 5000) })
		before := m.counts()
		finished := map[string]bool{}
		for id := range before {
			finished[id] = m.state(id).Final()
		}
		dir := filepath.Join(t.TempDir(), "copy")
		if _, err := open(t, m.way).Backup(t.Context(), dir, nil); err != nil {
			t.Fatal(err)
		}
		enough()
		loading.Wait()
		m.stop()

		time.Sleep(2 * time.Hour) // short records expire
		anew := broker.New(t)
		if _, err := open(t, anew).Restore(t.Context(), dir, false, nil); err != nil {
			t.Fatal(err)
		}
		again := start(t, anew)
		time.Sleep(90 * time.Minute)
		// What was finished while the records were not copied yet is finished in the copy.
		here, there := m.counts(), again.counts()
		for _, id := range accepted {
			if here[id]+there[id] == 0 {
				t.Errorf("%s was accepted before the backup began, and never ran", id)
			}
		}
		if there["stuck"] != 1 {
			t.Errorf("what ran when the backup was made ran %d times after the restore", there["stuck"])
		}
		for id, n := range there {
			if finished[id] || n > 1 {
				t.Errorf("%s ran %d times after the restore; finished when the backup began: %v", id, n, finished[id])
			}
		}
		for _, id := range append(accepted, late...) {
			if child := id + "-child"; isParent(id) && there[id] > 0 && there[child] == 0 && !finished[child] {
				t.Errorf("%s ran, and %s did not", id, child)
			}
		}
		t.Logf("%d finished before, %d ran after", len(finished), len(there))
	})
}

func isParent(id string) bool {
	var n int
	_, err := fmt.Sscanf(id, "load-%d", &n)
	return err == nil && n%5 == 0
}

// Records expire between a backup and its restore, and behind a task that takes hours
// also before. Who was finished is not run again for that.
func TestDrillExpiredRecords(t *testing.T) {
	broker.Bubble(t, time.Now(), func(t *testing.T) {
		m := start(t, broker.New(t))
		brief := millrace.Options{ResultTTL: millrace.Duration(time.Second)}
		m.mustSubmit("drill.stuck", "stuck", millrace.Options{})
		m.mustSubmit("drill.quick", "early", brief)
		m.awaitFinal("early")
		time.Sleep(75 * time.Minute)
		if s := m.state("early"); s != "" {
			t.Fatalf("early is %s", s)
		}
		m.mustSubmit("drill.quick", "late", brief)
		m.awaitFinal("late")
		dir := filepath.Join(t.TempDir(), "copy")
		if _, err := open(t, m.way).Backup(t.Context(), dir, nil); err != nil {
			t.Fatal(err)
		}
		m.stop()
		time.Sleep(2 * time.Hour)
		anew := broker.New(t)
		if _, err := open(t, anew).Restore(t.Context(), dir, false, nil); err != nil {
			t.Fatal(err)
		}
		again := start(t, anew)
		time.Sleep(90 * time.Minute)
		if got := again.counts(); len(got) != 1 || got["stuck"] != 1 {
			t.Errorf("these ran again: %v", got)
		}
	})
}

// What goes from one stream to another between their copies, in whichever direction, is
// not lost: what finishes then runs again, and what is put off then is tried.
func TestDrillBetweenCopies(t *testing.T) {
	for _, after := range []string{"KV_claims", "KV_results", "DEAD", "SCHEDULES_1", "TASKS_critical", "TASKS_default"} {
		t.Run(after, func(t *testing.T) {
			broker.Bubble(t, time.Now(), func(t *testing.T) {
				b := broker.New(t)
				m := start(t, b)
				m.gate = make(chan struct{})
				flaky := millrace.Options{Backoff: &millrace.Backoff{Policy: "fixed", Delay: millrace.Duration(20 * time.Second)}}
				m.mustSubmit("drill.quick", "done", millrace.Options{})
				m.awaitFinal("done")
				m.mustSubmit("drill.gated", "finishes", millrace.Options{})
				m.mustSubmit("drill.flaky", "returns", flaky)
				eventually(t, "it waits", func() bool { return m.state("returns") == millrace.Retrying })
				dir := filepath.Join(t.TempDir(), "copy")
				if _, err := open(t, b).Backup(t.Context(), dir, func(copied string) {
					if copied != after {
						return
					}
					close(m.gate)
					m.awaitFinal("finishes", "finishes-child")
					m.mustSubmit("drill.flaky", "comes", flaky)
					time.Sleep(45 * time.Second)
					m.awaitFinal("returns", "comes")
				}); err != nil {
					t.Fatal(err)
				}
				m.stop()
				anew := broker.New(t)
				if _, err := open(t, anew).Restore(t.Context(), dir, false, nil); err != nil {
					t.Fatal(err)
				}
				again := start(t, anew)
				time.Sleep(10 * time.Minute)
				here := again.counts()
				if here["done"] > 0 {
					t.Error("what was done ran again")
				}
				for _, id := range []string{"finishes", "finishes-child", "returns"} {
					if s := again.state(id); s != millrace.Succeeded || here[id] > 1 {
						t.Errorf("%s is %q, and ran %d times", id, s, here[id])
					}
				}
			})
		})
	}
}
