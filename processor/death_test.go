package processor_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/embedded"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// fate is what is to become of a task of a batch, whatever happens to its worker.
type fate struct {
	name string
	// comes is what the handler answers.
	comes func(task millrace.RawTask) error
	// state is how it ends, after so many attempts.
	state    millrace.State
	attempts int
}

var fates = []fate{
	{"succeeds", func(millrace.RawTask) error { return nil }, millrace.Succeeded, 1},
	{"fails-for-good", func(millrace.RawTask) error { return millrace.Permanent(errors.New("never")) }, millrace.Failed, 1},
	{"succeeds-at-last", func(t millrace.RawTask) error {
		if t.Attempt < 2 {
			return errors.New("not yet")
		}
		return nil
	}, millrace.Succeeded, 2},
	{"sleeps", func(t millrace.RawTask) error {
		if wait := time.Until(t.SubmittedAt.Add(nap)); wait > 0 {
			return millrace.Snooze(wait)
		}
		return nil
	}, millrace.Succeeded, 1},
	{"never-succeeds", func(millrace.RawTask) error { return errors.New("not this time") }, millrace.Failed, 2},
}

const (
	nap   = 20 * time.Second // of what sleeps
	pause = 10 * time.Second // of what is tried again
)

// A worker that has a batch dies before any of its writes, also in the middle of what
// is written as one, and another one goes on: each task of the batch comes to its own
// end, after as many attempts as without a death, and what has ended does not run
// again.
func TestDeathAtAnyWriteOfABatch(t *testing.T) {
	for name, c := range map[string]struct {
		fates   []fate
		takes   time.Duration
		writes  int // at least, and
		dead    int // of these are of dead tasks, and
		batches int // atomic
	}{
		"a task of each fate":              {fates, 3 * time.Second, 50, 1, 0},
		"enough of one for atomic batches": {slices.Repeat(fates[len(fates)-1:], 18), 0, 120, 15, 40},
	} {
		t.Run(name, func(t *testing.T) {
			if c.batches > 0 && testing.Short() {
				t.Skip("it takes long")
			}
			bubble(t, func(t *testing.T) {
				// It is the process that dies, not the machine.
				b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
				watcher, err := streams.Open(t.Context(), streams.Config{InProcess: b, AckWait: 5 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(watcher.Close)
				js, deaths := inspect(t, b), map[string]int{}
				for n := 0; ; n++ {
					l := &life{t: t, broker: b, watcher: watcher, js: js, takes: c.takes, ran: map[run]int{}, tasks: map[string]*fated{}}
					for i, fate := range c.fates {
						id := fmt.Sprintf("n%d-t%d-%s", n, i, fate.name)
						l.tasks[id] = &fated{fate: fate, task: newTask(id, "test.batch")}
					}
					fatal := l.live(n)
					if t.Failed() {
						t.Fatalf("so it went when the process died before write %d, to %s", n, fatal)
					}
					if fatal == "" {
						if n < c.writes {
							t.Errorf("it died before each of %d writes, and there must be more", n)
						}
						break
					}
					stage, _, _ := strings.Cut(fatal, ".")
					deaths[stage]++
				}
				if t.Logf("it died before so many writes: %v", deaths); deaths["dead"] < c.dead {
					t.Error("there must be more to the dead")
				}
				for _, stream := range []string{"DEAD", "KV_results"} {
					if n := atomicBatches(t, js, stream); n < c.batches {
						t.Errorf("%s was written in %d atomic batches, want more", stream, n)
					}
				}
			})
		})
	}
}

// atomicBatches counts those that the messages in the stream were written with.
func atomicBatches(t *testing.T, js jetstream.JetStream, name string) int {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for state, seq := stream.CachedInfo().State, uint64(0); seq <= state.LastSeq; seq++ {
		if m, err := stream.GetMsg(t.Context(), max(seq, state.FirstSeq)); err == nil {
			found[m.Header.Get("Nats-Batch-Id")] = true
		}
	}
	delete(found, "")
	return len(found)
}

// life is a batch from its submission to the end of each of its tasks.
type life struct {
	t       *testing.T
	broker  *broker.Broker
	watcher *streams.Store
	js      jetstream.JetStream
	takes   time.Duration // the handler
	tasks   map[string]*fated

	way   *broker.Mortal // of the process that lives now
	store *streams.Store
	stop  func()
	dying sync.WaitGroup

	mu  sync.Mutex
	ran map[run]int
}

type fated struct {
	fate
	task     millrace.RawTask
	accepted bool
	end      streams.Found
}

type run struct {
	id      string
	attempt int
}

// live lets the process die before the n-th write, and returns where that would have
// gone, empty if it has not so many.
func (l *life) live(n int) (fatal string) {
	first := &broker.Mortal{Broker: l.broker, Left: n, Before: func(subject string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		fatal = subject
	}}
	l.start(first)
	for start := time.Now(); !l.over(); time.Sleep(time.Second) {
		if time.Since(start) > 5*time.Minute {
			l.t.Errorf("it does not end")
			break
		}
		l.revive()
		l.submit()
	}
	for range 12 { // what the dead one had comes again
		time.Sleep(6 * time.Second)
		if l.revive(); l.left() == "" {
			break
		}
	}
	l.stop()
	l.dying.Wait()
	l.checkEnd(first.Died())
	if !first.Died() {
		return ""
	}
	return fatal
}

// start starts a process, which moves what is due and works.
func (l *life) start(way *broker.Mortal) {
	store, err := streams.Open(l.t.Context(), streams.Config{InProcess: way, AckWait: 5 * time.Second})
	if err != nil {
		l.t.Fatal(err)
	}
	p := processor.New(store, processor.Config{Grace: time.Second})
	processor.HandleBatch(p, "test.batch", func(_ context.Context, tasks []millrace.RawTask) ([]processor.Result[string], error) {
		if time.Sleep(l.takes); way.Died() {
			return nil, errors.New("it does not do anything any more")
		}
		return l.handle(tasks), nil
	}, processor.Batch{Wait: time.Second}, processor.Kind{
		MaxAttempts: 2, Backoff: &millrace.Backoff{Policy: millrace.Fixed, Delay: millrace.Duration(pause)},
	})
	still, stop := moveDue(l.t, store), start(l.t, p)
	synctest.Wait()
	l.way, l.store, l.stop = way, store, func() {
		stop()
		still()
		store.Close()
	}
}

// revive starts another process if this one has died.
func (l *life) revive() {
	if l.way.Died() {
		l.dying.Go(l.stop)
		l.start(&broker.Mortal{Broker: l.broker, Left: math.MaxInt})
	}
}

// submit submits what is not known to be accepted.
func (l *life) submit() {
	var tasks []millrace.RawTask
	for _, f := range l.tasks {
		if !f.accepted {
			tasks = append(tasks, f.task)
		}
	}
	for i, err := range l.store.SubmitMany(l.t.Context(), tasks) {
		l.tasks[tasks[i].ID].accepted = err == nil || errors.Is(err, millrace.ErrConflict)
	}
}

func (l *life) handle(tasks []millrace.RawTask) []processor.Result[string] {
	results := make([]processor.Result[string], len(tasks))
	for i, task := range tasks {
		f, err := l.watcher.Lookup(l.t.Context(), task.ID)
		if err != nil || f.Record.State.Final() || time.Until(f.Record.NextAt) > 0 {
			l.t.Errorf("attempt %d of %s, which is %+v: %v", task.Attempt, task.ID, f.Record, err)
		}
		l.mu.Lock()
		l.ran[run{task.ID, task.Attempt}]++
		l.mu.Unlock()
		results[i] = processor.Result[string]{Value: task.ID, Err: l.tasks[task.ID].comes(task)}
	}
	return results
}

// over reports whether each task has come to its end.
func (l *life) over() bool {
	for id, f := range l.tasks {
		if f.end.Record.State.Final() {
			continue
		}
		var err error
		if f.end, err = l.watcher.Lookup(l.t.Context(), id); err != nil && (f.accepted || !errors.Is(err, millrace.ErrNotFound)) {
			l.t.Errorf("%s, accepted: %t: %v", id, f.accepted, err)
		}
		if !f.end.Record.State.Final() {
			return false
		}
	}
	return true
}

func (l *life) checkEnd(died bool) {
	t := l.t
	most := 0 // deliveries that died
	if died {
		most = 1
	}
	dead := l.subjects("DEAD")
	for id, f := range l.tasks {
		r := f.end.Record
		if r.State != f.state || len(r.Attempts) != f.attempts || r.Lost > most || (r.State == millrace.Succeeded) != (string(r.Result) == `"`+id+`"`) {
			t.Errorf("%s ends as %+v", id, r)
		}
		for i, a := range r.Attempts {
			if i > 0 && a.StartedAt.Sub(r.Attempts[i-1].EndedAt) < pause {
				t.Errorf("%s: attempt %d came early: %+v", id, a.Number, r.Attempts)
			}
			runs, extra := l.ran[run{id, a.Number}], 0
			if f.name == "sleeps" {
				extra = 1
			}
			if runs < 1 || runs > 1+most+extra {
				t.Errorf("%s: attempt %d ran %d times", id, a.Number, runs)
			}
			delete(l.ran, run{id, a.Number})
		}
		if again, err := l.watcher.Lookup(t.Context(), id); err != nil || again.Version != f.end.Version {
			t.Errorf("its record was written again: %+v, %v", again, err)
		}
		if buried := dead["dead.default.test-batch."+id] > 0; buried != (f.state == millrace.Failed) {
			t.Errorf("%s is among the dead: %t", id, buried)
		}
	}
	if len(l.ran) > 0 {
		t.Errorf("it ran besides: %v", l.ran)
	}
	if left := l.left(); left != "" {
		t.Error(left)
	}
}

// left says what there is still to do, empty for nothing.
func (l *life) left() string {
	l.t.Helper()
	workers, err := l.js.Consumer(l.t.Context(), "TASKS_default", "workers")
	if err != nil {
		l.t.Fatal(err)
	}
	c, waiting := workers.CachedInfo(), countWaiting(l.t, l.js, l.watcher.Shards())
	if c.NumAckPending == 0 && c.NumPending == 0 && waiting == 0 {
		return ""
	}
	return fmt.Sprintf("%d tasks are under way, %d to come, and %d wait", c.NumAckPending, c.NumPending, waiting)
}

// subjects are those in the stream, with how many messages each has.
func (l *life) subjects(name string) map[string]uint64 {
	stream, err := l.js.Stream(l.t.Context(), name)
	if err != nil {
		l.t.Fatal(err)
	}
	info, err := stream.Info(l.t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		l.t.Fatal(err)
	}
	return info.State.Subjects
}
