package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// answers is what those who replace tasks were told, and what has run.
type answers struct {
	clock atomic.Int64 // counts what happens

	mu       sync.Mutex
	accepted map[string][]answer // by task
	refused  map[int]bool
	replaced int
	ran      map[string][]int
}

// answer is one that was accepted: what it asked for is what is to run, unless another
// one was accepted that ended after this one had begun.
type answer struct {
	n            int
	begun, ended int64
}

func newAnswers() *answers {
	return &answers{accepted: map[string][]answer{}, refused: map[int]bool{}, ran: map[string][]int{}}
}

// submit submits the n-th task, and notes what it is told.
func (a *answers) submit(ctx context.Context, store *streams.Store, n int, delay time.Duration, u millrace.Unique) error {
	task := newTask(fmt.Sprint("t", n), "test.number")
	task.Args = json.RawMessage(fmt.Sprint(n))
	begun := a.clock.Add(1)
	h, err := store.SubmitUnique(ctx, task, time.Now().Add(delay), u)
	ended := a.clock.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case errors.Is(err, millrace.ErrConflict):
		a.refused[n] = true
		return nil
	case err != nil:
		return err
	}
	a.accepted[h.ID] = append(a.accepted[h.ID], answer{n, begun, ended})
	if h.Replaced {
		a.replaced++
	}
	return nil
}

// handler is of the kind "test.number".
func (a *answers) handler(ctx context.Context, task millrace.Task[int]) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() == nil {
		a.ran[task.ID] = append(a.ran[task.ID], task.Args)
	}
	return task.Args, nil
}

// check checks that each task ran with what was accepted last, and not with anything
// else; more than once only if a worker died.
func (a *answers) check(t *testing.T, again bool) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, ran := range a.ran {
		for _, n := range ran {
			if n != ran[0] || a.refused[n] || len(ran) > 1 && !again {
				t.Errorf("%s ran with %v, refused: %t", id, ran, a.refused[n])
			}
		}
		if len(a.accepted[id]) == 0 {
			t.Errorf("%s ran with %v, and nobody was told so", id, ran)
		}
	}
	for id, all := range a.accepted {
		if len(a.ran[id]) == 0 {
			t.Errorf("%s was accepted and has not run", id)
			continue
		}
		var won answer
		for _, one := range all {
			if one.n == a.ran[id][0] {
				won = one
			}
		}
		for _, one := range all {
			if won.ended == 0 || one.begun > won.ended {
				t.Errorf("%s ran with %v, and was accepted with %v", id, a.ran[id], all)
				break
			}
		}
	}
}

// While workers take tasks as fast as they can and others replace them, each is told
// what becomes of it.
func TestReplaceRace(t *testing.T) {
	const workers, replacers, each, keys = 4, 8, 60, 3
	b := newBroker(t)
	a := newAnswers()
	for range workers {
		p := newProcessor(t, open(t, b, streams.Config{}), processor.Config{Concurrency: 2})
		processor.Handle(p, "test.number", a.handler, processor.Kind{})
		start(t, p)
	}
	stores := []*streams.Store{open(t, b, streams.Config{}), open(t, b, streams.Config{})}
	var submitting sync.WaitGroup
	for r := range replacers {
		submitting.Go(func() {
			for i := range each {
				key := i % keys
				u := millrace.Unique{Key: fmt.Sprint("k", key), OnConflict: millrace.UniqueReplace}
				if key == 0 {
					u.While = millrace.WhilePending
				}
				var delay time.Duration
				if key == 2 && i%10 == r {
					delay = time.Second
				}
				if err := a.submit(t.Context(), stores[r%2], r*each+i, delay, u); err != nil {
					t.Error(err)
				}
			}
		})
	}
	submitting.Wait()
	for id := range a.accepted {
		finishedIn(t, stores[0], id, time.Minute)
	}
	a.check(t, false)
	t.Logf("%d tasks, %d replaced, %d refused", len(a.accepted), a.replaced, len(a.refused))
	if a.replaced == 0 || len(a.refused) == 0 {
		t.Error("there must be some of each")
	}
}

// A worker dies before any of its writes while its task is replaced: another one goes
// on with what counts.
func TestReplaceAgainstADyingWorker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// It is the process that dies, not the machine.
		b := newBroker(t)
		watcher := open(t, b, streams.Config{AckWait: 5 * time.Second})
		for n := 0; ; n++ {
			a := newAnswers()
			mortal := &broker.Mortal{Broker: b, Left: n}
			u := millrace.Unique{Key: "k", OnConflict: millrace.UniqueReplace}
			before := sync.OnceFunc(func() { // the first thing that it writes is that it has claimed the task
				if err := a.submit(t.Context(), watcher, 100*n+1, 0, u); err != nil {
					t.Error(err)
				}
			})
			mortal.Before = func(string) { before() }
			if err := a.submit(t.Context(), watcher, 100*n, 0, u); err != nil {
				t.Fatal(err)
			}
			stop := work(t, mortal, a)
			time.Sleep(time.Second)
			if err := a.submit(t.Context(), watcher, 100*n+2, 0, u); err != nil {
				t.Fatal(err)
			}
			second := work(t, &broker.Mortal{Broker: b, Left: math.MaxInt}, a)
			for id := range a.accepted {
				finishedIn(t, watcher, id, 5*time.Minute)
			}
			time.Sleep(10 * time.Second) // for what comes again
			stop()
			second()
			if a.check(t, true); t.Failed() {
				t.Fatalf("so it went when the worker died before write %d", n)
			}
			if !mortal.Died() {
				if t.Logf("it died before each of %d writes", n); n < 4 {
					t.Error("there must be more")
				}
				return
			}
		}
	})
}

// work runs a worker until stop is called.
func work(t *testing.T, way *broker.Mortal, a *answers) (stop func()) {
	t.Helper()
	store, err := streams.Open(t.Context(), streams.Config{InProcess: way, AckWait: 5 * time.Second})
	if err != nil {
		return func() {} // it has died
	}
	p := newProcessor(t, store, processor.Config{Grace: time.Second})
	processor.Handle(p, "test.number", a.handler, processor.Kind{})
	end := start(t, p)
	return func() {
		end()
		store.Close()
	}
}
