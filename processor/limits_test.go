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

	"millrace"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// witness sees who runs beside whom.
type witness struct {
	t      *testing.T
	limits map[millrace.LimitScope]int // how many may run at once of each name

	mu      sync.Mutex
	running map[string]map[string]bool // by scope and name: ids
	most    map[string]int
	done    map[string][]string // by key: ids as they succeeded, or failed
	runs    map[string]int
}

func newWitness(t *testing.T, limits map[millrace.LimitScope]int) *witness {
	return &witness{t: t, limits: limits, running: map[string]map[string]bool{}, most: map[string]int{}, done: map[string][]string{}, runs: map[string]int{}}
}

func namesOf(t millrace.RawTask) map[millrace.LimitScope]string {
	names := map[millrace.LimitScope]string{millrace.LimitKind: t.Kind, millrace.LimitQueue: t.Queue}
	if t.Key != "" {
		names[millrace.LimitKey] = t.Key
	}
	return names
}

func (w *witness) enters(t millrace.RawTask) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs[t.ID]++
	for scope, name := range namesOf(t) {
		name = string(scope) + ":" + name
		if w.running[name] == nil {
			w.running[name] = map[string]bool{}
		}
		w.running[name][t.ID] = true
		n := len(w.running[name])
		w.most[name] = max(w.most[name], n)
		if limit := w.limits[scope]; limit > 0 && n > limit {
			w.t.Errorf("%d run at once of %s: %v", n, name, w.running[name])
		}
	}
}

func (w *witness) leaves(t millrace.RawTask, done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for scope, name := range namesOf(t) {
		delete(w.running[string(scope)+":"+name], t.ID)
	}
	if done && !slices.Contains(w.done[t.Key], t.ID) {
		w.done[t.Key] = append(w.done[t.Key], t.ID)
	}
}

func (w *witness) ran(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.runs[id]
}

// handled lets a processor handle a kind under the eyes of the witness.
func (w *witness) handled(p *processor.Processor, kind string, takes time.Duration) {
	handle(p, kind, func(_ context.Context, t millrace.RawTask) (any, error) {
		w.enters(t)
		defer w.leaves(t, true)
		time.Sleep(takes)
		return t.ID, nil
	})
}

func keyed(key, kind string, n int) []millrace.RawTask {
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprintf("%s-%s-%02d", key, strings.ReplaceAll(kind, ".", "-"), i), kind)
		tasks[i].Key = key
	}
	return tasks
}

func idsOf(tasks []millrace.RawTask) []string {
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	return ids
}

// linesEmpty fails the test unless nothing stands in a line any more, in a while.
func linesEmpty(t *testing.T, b *broker.Broker) {
	t.Helper()
	stream, err := inspect(t, b).Stream(t.Context(), "HELD")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == 0 {
			return
		}
		time.Sleep(time.Second)
	}
	t.Error("something stands in a line still")
}

// Of the tasks with the same key one runs at a time, in the order in which they came,
// however many workers there are and whatever they are submitted with.
func TestOneOfAKeyAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		w := newWitness(t, map[millrace.LimitScope]int{millrace.LimitKey: 1})
		for i := range 3 {
			p := newProcessor(t, open(t, b, streams.Config{}), processor.Config{Worker: fmt.Sprint("w", i), Concurrency: 8})
			w.handled(p, "test.keyed", 20*time.Millisecond)
			start(t, p)
		}
		store := open(t, b, streams.Config{})
		want := map[string][]string{}
		var one, many []millrace.RawTask
		for _, key := range []string{"customer:1", "customer:2", "customer:3", "Kunde 4/ä", "*"} {
			tasks := keyed(fmt.Sprint("k", len(want)), "test.keyed", 12)
			for i := range tasks {
				tasks[i].Key = key
			}
			want[key] = idsOf(tasks)
			one, many = append(one, tasks[:6]...), append(many, tasks[6:]...)
		}
		for _, task := range one {
			submit(t, store, task)
		}
		submit(t, store, many...)
		for _, task := range append(one, many...) {
			if r := finished(t, store, task.ID); r.State != millrace.Succeeded || r.HeldBy != "" || len(r.Attempts) != 1 || w.ran(task.ID) != 1 {
				t.Errorf("%+v ran %d times", r, w.ran(task.ID))
			}
		}
		for key, ids := range want {
			if got := w.done[key]; !slices.Equal(got, ids) {
				t.Errorf("%s: they were done as %v, want %v", key, got, ids)
			}
		}
		linesEmpty(t, b)
	})
}

// Limits of kinds and of a queue hold over all workers, are used to the full, and let
// others of the queue by. They change while tasks wait, and what is in the log by then
// comes under them too.
func TestLimitsOverAllWorkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		kinds := []millrace.Limit{{Scope: millrace.LimitKind, Match: "slow.*", Concurrency: 3}}
		w := newWitness(t, map[millrace.LimitScope]int{})
		var stores []*streams.Store
		for i := range 3 {
			stores = append(stores, open(t, b, streams.Config{Limits: kinds}))
			p := newProcessor(t, stores[i], processor.Config{Worker: fmt.Sprint("w", i), Concurrency: 8})
			w.handled(p, "slow.a", 10*time.Second)
			w.handled(p, "slow.b", 10*time.Second)
			w.handled(p, "quick", 0)
			start(t, p)
		}
		began := time.Now()
		submit(t, stores[0], numberedAs("a", "slow.a", 12)...)
		submit(t, stores[1], numberedAs("b", "slow.b", 12)...)
		submit(t, stores[2], numberedAs("q", "quick", 12)...)
		for i := range 12 {
			finished(t, stores[0], fmt.Sprint("q", i))
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("those beside waited for %s", took)
		}
		if r := lookup(t, stores[0], "a11"); r.State != millrace.Pending || r.HeldBy != "kind-slow-a" {
			t.Errorf("the last one is %+v", r)
		}
		for i := range 12 {
			finishedIn(t, stores[0], fmt.Sprint("a", i), time.Minute)
			finishedIn(t, stores[0], fmt.Sprint("b", i), time.Minute)
		}
		if took := time.Since(began); took < 40*time.Second || took > 45*time.Second || w.most["kind:slow.a"] != 3 || w.most["kind:slow.b"] != 3 {
			t.Errorf("they took %s, want 40 s: at once there were %v", took, w.most)
		}

		// A queue's limit that comes when its tasks are in the log already.
		wide := numberedAs("c", "slow.a", 30)
		set := func(limits ...millrace.Limit) {
			if err := stores[0].SetLimits(t.Context(), limits); err != nil {
				t.Fatal(err)
			}
		}
		set()
		submit(t, stores[0], wide...)
		set(millrace.Limit{Scope: millrace.LimitQueue, Match: "default", Concurrency: 2})
		time.Sleep(15 * time.Second) // those that run
		w.mu.Lock()
		w.limits[millrace.LimitQueue], w.most = 2, map[string]int{}
		w.mu.Unlock()
		time.Sleep(30 * time.Second)
		w.mu.Lock()
		if w.most["queue:default"] != 2 {
			t.Errorf("of the queue there ran %d at once, want 2", w.most["queue:default"])
		}
		delete(w.limits, millrace.LimitQueue)
		w.mu.Unlock()
		set()
		for _, task := range wide {
			if r := finishedIn(t, stores[0], task.ID, 15*time.Second); len(r.Attempts) != 1 || w.ran(task.ID) != 1 {
				t.Errorf("%+v ran %d times", r, w.ran(task.ID))
			}
		}
		linesEmpty(t, b)
	})
}

func numberedAs(prefix, kind string, n int) []millrace.RawTask {
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprint(prefix, i), kind)
	}
	return tasks
}

// Whatever becomes of a task, those behind it go on; and while it is to be tried again
// they do not overtake it.
func TestLinesGoOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		w := newWitness(t, map[millrace.LimitScope]int{millrace.LimitKey: 1})
		p := newProcessor(t, store, processor.Config{Concurrency: 8, CancelGrace: time.Second})
		tried := map[string]int{}
		handle(p, "test.keyed", func(ctx context.Context, task millrace.RawTask) (any, error) {
			w.enters(task)
			var err error
			done := true
			switch tried[task.ID]++; {
			case strings.HasSuffix(task.ID, "00"):
				err = millrace.Permanent(errors.New("never"))
			case strings.HasSuffix(task.ID, "01"), strings.HasSuffix(task.ID, "02"):
				if tried[task.ID] == 1 {
					err, done = errors.New("not yet"), false
				}
			case strings.HasSuffix(task.ID, "03"):
				if tried[task.ID] == 1 {
					err, done = millrace.Snooze(time.Minute), false
				}
			case strings.HasSuffix(task.ID, "04"):
				<-ctx.Done()
				time.Sleep(500 * time.Millisecond) // it takes a while to stop
				err = ctx.Err()
			}
			w.leaves(task, done)
			return nil, err
		})
		start(t, p)
		tasks := keyed("k", "test.keyed", 8)
		tasks[1].Backoff = &millrace.Backoff{Policy: millrace.Fixed, Delay: millrace.Duration(time.Second)}
		submit(t, store, tasks...)
		time.Sleep(time.Second / 2)
		if _, err := store.Cancel(t.Context(), tasks[5].ID); err != nil { // in the line
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if r := lookup(t, store, tasks[4].ID); r.State != millrace.Running && r.State != millrace.Pending {
			t.Errorf("%+v, want it to run", r)
		}
		if _, err := store.Cancel(t.Context(), tasks[4].ID); err != nil { // while it runs
			t.Fatal(err)
		}
		for _, i := range []int{6, 7} {
			finishedIn(t, store, tasks[i].ID, 5*time.Second)
		}
		if ids := idsOf(tasks); !slices.Equal(w.done["k"], slices.Delete(ids, 5, 6)) {
			t.Errorf("they were done as %v", w.done["k"])
		}
		linesEmpty(t, b)
		// A task of an id that was done is not taken, and holds up nobody.
		if err := store.Submit(t.Context(), tasks[0]); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("the same task once more: %v", err)
		}
	})
}

// A process dies before any of its writes while tasks come past the limits of their key,
// their kind and their queue, and another one goes on: no limit is ever exceeded, those of
// a key stay in order, each comes to its end, and nobody is left in a line.
func TestDeathInLine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		watcher := open(t, b, streams.Config{AckWait: 5 * time.Second})
		for n := 0; ; n += 2*broker.Step() - 1 {
			q := &queueing{t: t, broker: b, watcher: watcher, witness: newWitness(t, map[millrace.LimitScope]int{
				millrace.LimitKey: 1, millrace.LimitKind: 2, millrace.LimitQueue: 3,
			}), tried: map[string]int{}}
			died := q.live(n)
			if t.Failed() {
				t.Fatalf("so it went when the process died before write %d", n)
			}
			if !died {
				if t.Logf("it died before each of %d writes", n); n < 40 {
					t.Errorf("it died before each of %d writes, and there must be more", n)
				}
				return
			}
		}
	})
}

// queueing is the life of some tasks under all limits.
type queueing struct {
	t       *testing.T
	broker  *broker.Broker
	watcher *streams.Store
	*witness
	tried map[string]int

	way  *broker.Mortal
	stop func()
	its  *streams.Store
}

func (q *queueing) live(n int) (died bool) {
	var tasks []millrace.RawTask
	for _, key := range []string{"x", "y"} {
		for _, kind := range []string{"line.a", "line.b"} {
			tasks = append(tasks, keyed(fmt.Sprint("n", n, key), kind, 3)...)
		}
	}
	first := &broker.Mortal{Broker: q.broker, Left: n}
	q.start(first)
	accepted := map[string]bool{}
	for began := time.Now(); ; time.Sleep(time.Second) {
		if q.way.Died() {
			old := q.stop
			var dying sync.WaitGroup
			dying.Go(old)
			defer dying.Wait()
			q.start(&broker.Mortal{Broker: q.broker, Left: math.MaxInt})
		}
		left := 0
		for _, task := range tasks {
			if !accepted[task.ID] {
				err := q.its.Submit(q.t.Context(), task)
				accepted[task.ID] = err == nil || errors.Is(err, millrace.ErrConflict)
			}
			if f, err := q.watcher.Lookup(q.t.Context(), task.ID); err != nil || !f.Record.State.Final() {
				left++
			}
		}
		if left == 0 {
			break
		}
		if time.Since(began) > 10*time.Minute {
			q.t.Errorf("%d tasks do not come to their end", left)
			break
		}
	}
	linesEmpty(q.t, q.broker)
	q.stop()
	for _, task := range tasks {
		if f, err := q.watcher.Lookup(q.t.Context(), task.ID); err != nil || f.Record.Lost > 1 {
			q.t.Errorf("%+v, %v", f.Record, err)
		}
	}
	return first.Died()
}

func (q *queueing) start(way *broker.Mortal) {
	store, err := streams.Open(q.t.Context(), streams.Config{InProcess: way, AckWait: 5 * time.Second, Limits: []millrace.Limit{
		{Scope: millrace.LimitKind, Match: "line.*", Concurrency: 2}, {Scope: millrace.LimitQueue, Match: "*", Concurrency: 3},
	}})
	if err != nil {
		q.t.Fatal(err)
	}
	p := newProcessor(q.t, store, processor.Config{Grace: time.Second})
	for _, kind := range []string{"line.a", "line.b"} {
		processor.Handle(p, kind, func(_ context.Context, task millrace.RawTask) (any, error) {
			if way.Died() {
				return nil, errors.New("it does not do anything any more")
			}
			q.enters(task)
			time.Sleep(300 * time.Millisecond)
			q.mu.Lock()
			q.tried[task.ID]++
			again := strings.HasSuffix(task.ID, "01") && q.tried[task.ID] == 1
			q.mu.Unlock()
			q.leaves(task, !again)
			if again {
				return nil, errors.New("not yet")
			}
			return nil, nil
		}, processor.Kind{Backoff: &millrace.Backoff{Policy: millrace.Fixed, Delay: millrace.Duration(pause)}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		held := store.Held()
		for tick := time.NewTicker(20 * time.Second); ; {
			select {
			case <-tick.C:
				_ = held.Sweep(ctx) // the broker may be away
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	})
	still, stop := moveDue(q.t, store), start(q.t, p)
	synctest.Wait()
	q.way, q.its, q.stop = way, store, func() {
		stop()
		still()
		cancel()
		sweeping.Wait()
		store.Close()
	}
}

// A rate holds over all workers, in any time, is used to the full, costs no attempts, and
// lets others by. A task that is tried again counts again.
func TestRatesOverAllWorkers(t *testing.T) {
	for name, c := range map[string]struct {
		rate     millrace.Rate
		tasks    int
		together int // may begin at once
	}{
		"many a second": {millrace.Rate{Count: 20, Per: time.Second}, 300, 20},
		"few a minute":  {millrace.Rate{Count: 6, Per: time.Minute}, 12, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				var mu sync.Mutex
				var began []time.Time
				seen := map[string]int{}
				var stores []*streams.Store
				for i := range 3 {
					stores = append(stores, open(t, b, streams.Config{Limits: []millrace.Limit{{Scope: millrace.LimitKind, Match: "paced", Rate: c.rate}}}))
					p := newProcessor(t, stores[i], processor.Config{Worker: fmt.Sprint("w", i), Concurrency: 8})
					processor.Handle(p, "paced", func(_ context.Context, task millrace.RawTask) (any, error) {
						mu.Lock()
						defer mu.Unlock()
						began = append(began, time.Now())
						if seen[task.ID]++; task.ID == "p0" && seen[task.ID] == 1 {
							return nil, errors.New("not yet")
						}
						return nil, nil
					}, processor.Kind{Backoff: &millrace.Backoff{Policy: millrace.Fixed, Delay: millrace.Duration(time.Second)}})
					start(t, p)
				}
				first := time.Now()
				submit(t, stores[0], numberedAs("p", "paced", c.tasks)...)
				submit(t, stores[0], numberedAs("q", echo, 20)...)
				for i := range 20 {
					finishedIn(t, stores[0], fmt.Sprint("q", i), 5*time.Second)
				}
				for i := range c.tasks {
					r := finishedIn(t, stores[0], fmt.Sprint("p", i), time.Hour)
					mu.Lock()
					runs := seen[r.ID]
					mu.Unlock()
					if attempts := len(r.Attempts); r.State != millrace.Succeeded || attempts != runs || attempts > 1 && r.ID != "p0" {
						t.Errorf("%+v", r)
					}
				}
				slices.SortFunc(began, time.Time.Compare)
				interval := c.rate.Interval()
				for i := range began {
					for j := i + 1; j < len(began); j++ {
						// What waited for long comes within a second behind its time.
						if window, n := began[j].Sub(began[i]), j-i+1; n > int((window+time.Second)/interval)+c.together+1 {
							t.Fatalf("%d began within %s", n, window)
						}
					}
				}
				ideal := time.Duration(c.tasks+1-c.together) * interval
				if took := began[len(began)-1].Sub(first); took > ideal+ideal/2+2*time.Minute || took < ideal-time.Second {
					t.Errorf("they took %s, want about %s", took, ideal)
				}
			})
		})
	}
}
