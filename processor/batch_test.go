package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// sizes is a batch handler that notes how large its batches are.
type sizes struct {
	mu    sync.Mutex
	seen  []int
	takes time.Duration
}

func (s *sizes) handle(_ context.Context, tasks []millrace.Task[int]) ([]processor.Result[int], error) {
	s.mu.Lock()
	s.seen = append(s.seen, len(tasks))
	s.mu.Unlock()
	time.Sleep(s.takes)
	out := make([]processor.Result[int], len(tasks))
	for i, t := range tasks {
		out[i].Value = t.Args
	}
	return out, nil
}

func (s *sizes) all() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func numbered(kind string, n int) []millrace.RawTask {
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprintf("t%d", i), kind)
		tasks[i].Args = json.RawMessage(fmt.Sprint(i))
	}
	return tasks
}

// What waits in the queue comes in full batches, each task once, whatever the number
// of places and however long a batch takes.
func TestBatchesFillUp(t *testing.T) {
	for _, c := range []struct {
		concurrency, size int
		takes             time.Duration
	}{{0, 500, 0}, {1, 100, 0}, {1, 300, 3 * time.Second}, {3, 7, 50 * time.Millisecond}, {64, 1000, time.Second}, {2, 1, 0}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const n = 2100
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				tasks := numbered("test.batch", n)
				submit(t, store, tasks...)
				p := newProcessor(t, store, processor.Config{Concurrency: c.concurrency})
				s := &sizes{takes: c.takes}
				processor.HandleBatch(p, "test.batch", s.handle, processor.Batch{Size: c.size}, processor.Kind{})
				start(t, p)
				for i, task := range tasks {
					r := finished(t, store, task.ID)
					if r.State != millrace.Succeeded || string(r.Result) != fmt.Sprint(i) || len(r.Attempts) != 1 || r.Lost != 0 {
						t.Fatalf("%+v", r)
					}
				}
				sum, full := 0, 0
				for _, n := range s.all() {
					sum += n
					if n == c.size {
						full++
					}
					if n > c.size {
						t.Errorf("a batch of %d", n)
					}
				}
				if sum != n || full < n/c.size-2 {
					t.Errorf("%d tasks ran, in batches of %v", sum, s.all())
				}
			})
		})
	}
}

// A task that comes alone waits for company, but not for long, and takes those along
// that come meanwhile. Other kinds go their own way.
func TestBatchesWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{Concurrency: 2})
		s := &sizes{}
		processor.HandleBatch(p, "test.batch", s.handle, processor.Batch{Wait: 2 * time.Second}, processor.Kind{})
		start(t, p)
		synctest.Wait()
		tasks := numbered("test.batch", 4)
		began := time.Now()
		for _, task := range tasks[:3] {
			submit(t, store, task)
			time.Sleep(500 * time.Millisecond)
		}
		other := newTask("other", echo)
		submit(t, store, other)
		if r := finished(t, store, "other"); r.FinishedAt.Sub(began) > 1600*time.Millisecond {
			t.Errorf("another kind waited until %s", r.FinishedAt.Sub(began))
		}
		if r := finished(t, store, "t0"); r.FinishedAt.Sub(began).Round(100*time.Millisecond) != 2*time.Second {
			t.Errorf("it waited %s", r.FinishedAt.Sub(began))
		}
		submit(t, store, tasks[3])
		finished(t, store, "t3")
		if got := fmt.Sprint(s.all()); got != "[3 1]" {
			t.Errorf("batches of %s", got)
		}
	})
}

// Each task of a batch comes to an end of its own.
func TestOutcomesInABatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{MaxResult: 100})
		var together sync.Map
		processor.HandleBatch(p, "test.batch", func(_ context.Context, tasks []millrace.Task[struct{ N string }]) ([]processor.Result[any], error) {
			out := make([]processor.Result[any], len(tasks))
			for i, task := range tasks {
				together.Store(fmt.Sprint(task.ID, task.Attempt), len(tasks))
				switch {
				case task.Attempt == 2:
					out[i].Value = "again"
				case task.ID == "fails":
					out[i].Err = errors.New("no luck")
				case task.ID == "never":
					out[i].Err = millrace.Permanent(errors.New("no such account"))
				case task.ID == "sleeps" && time.Since(task.SubmittedAt) < time.Hour:
					out[i].Err = millrace.Snooze(time.Hour)
				case task.ID == "large":
					out[i].Value = strings.Repeat("x", 99)
				case task.ID == "strange":
					out[i].Value = func() {}
				default:
					out[i].Value = task.Args.N
				}
			}
			return out, nil
		}, processor.Batch{}, processor.Kind{})
		start(t, p)
		synctest.Wait()
		tasks := map[string]millrace.RawTask{}
		var all []millrace.RawTask
		for _, id := range []string{"good", "fails", "never", "sleeps", "large", "strange", "odd"} {
			task := newTask(id, "test.batch")
			task.Args = json.RawMessage(`{"N":"x"}`)
			if id == "odd" {
				task.Args = json.RawMessage(`{"N":7}`)
			}
			tasks[id] = task
			all = append(all, task)
		}
		submit(t, store, all...)
		good := record(tasks["good"], millrace.Succeeded, attempt{})
		good.Result = json.RawMessage(`"x"`)
		fails := record(tasks["fails"], millrace.Succeeded, attempt{err: "no luck"}, attempt{after: 30 * time.Second})
		fails.Result, fails.Error = json.RawMessage(`"again"`), ""
		sleeps := record(tasks["sleeps"], millrace.Succeeded, attempt{after: time.Hour})
		sleeps.Result = json.RawMessage(`"x"`)
		for id, want := range map[string]millrace.Record{
			"good": good, "fails": fails,
			"never":   record(tasks["never"], millrace.Failed, attempt{err: "no such account"}),
			"large":   record(tasks["large"], millrace.Failed, attempt{err: "the result has 101 bytes, and a record takes 100: keep large results elsewhere and return where"}),
			"strange": record(tasks["strange"], millrace.Failed, attempt{err: "the result does not encode: json: unsupported type: func()"}),
			"odd":     record(tasks["odd"], millrace.Failed, attempt{err: "the args do not decode: json: cannot unmarshal number into Go struct field .N of type string"}),
		} {
			wantRecord(t, want, finishedIn(t, store, id, time.Minute))
		}
		wantRecord(t, sleeps, finishedIn(t, store, "sleeps", 2*time.Hour))
		if n, _ := together.Load("good1"); n != 6 {
			t.Errorf("the first batch had %v tasks, want all whose args decode", n)
		}
	})
}

// What befalls a batch befalls the attempt of each of its tasks, and no other batch.
func TestBatchesThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		comes func(ctx context.Context) ([]processor.Result[string], error)
		took  time.Duration
		err   string
		state millrace.State
	}{
		"an error": {func(context.Context) ([]processor.Result[string], error) { return nil, errors.New("no luck") }, 0, "no luck", millrace.Succeeded},
		"a permanent one": {func(context.Context) ([]processor.Result[string], error) {
			return nil, millrace.Permanent(errors.New("never"))
		}, 0, "never", millrace.Failed},
		"a panic": {func(context.Context) ([]processor.Result[string], error) { panic("oops") }, 0, "panic: oops", millrace.Succeeded},
		"too few results": {func(context.Context) ([]processor.Result[string], error) {
			return make([]processor.Result[string], 2), nil
		}, 0, "the handler returned 2 results for 3 tasks", millrace.Succeeded},
		"no results":         {func(context.Context) ([]processor.Result[string], error) { return nil, nil }, 0, "the handler returned 0 results for 3 tasks", millrace.Succeeded},
		"time is up":         {func(ctx context.Context) ([]processor.Result[string], error) { <-ctx.Done(); return nil, ctx.Err() }, 5 * time.Second, "timed out after 5s: context deadline exceeded", millrace.Succeeded},
		"it does not return": {func(context.Context) ([]processor.Result[string], error) { time.Sleep(time.Minute); return nil, nil }, 10 * time.Second, "timed out: the handler did not return within 10s", millrace.Succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				p := newProcessor(t, store, processor.Config{Concurrency: 1})
				var runs atomic.Int32
				processor.HandleBatch(p, "test.batch", func(ctx context.Context, tasks []millrace.RawTask) ([]processor.Result[string], error) {
					if runs.Add(1) == 1 {
						return c.comes(ctx)
					}
					return make([]processor.Result[string], len(tasks)), nil
				}, processor.Batch{Size: 3}, processor.Kind{Timeout: 5 * time.Second, HardTimeout: 10 * time.Second})
				start(t, p)
				synctest.Wait()
				tasks := submitMany(t, store, "test.batch", 3)
				for _, task := range tasks {
					got := finishedIn(t, store, task.ID, time.Hour)
					want := record(task, c.state, attempt{took: c.took, err: c.err, panics: got.Attempts[0].Stack != ""})
					if c.state == millrace.Succeeded {
						want = record(task, c.state, attempt{took: c.took, err: c.err, panics: got.Attempts[0].Stack != ""}, attempt{after: 30 * time.Second})
						want.Result = json.RawMessage(`""`)
					}
					wantRecord(t, want, got)
				}
				time.Sleep(2 * time.Minute) // for the one that does not return
			})
		})
	}
}

// A batch that runs for long is checked out, task by task. One that is cancelled
// meanwhile stays cancelled, the others do not notice; when all are, the context
// ends.
func TestCancelInABatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{Concurrency: 1})
		processor.HandleBatch(p, "test.batch", func(ctx context.Context, tasks []millrace.RawTask) ([]processor.Result[string], error) {
			select {
			case <-ctx.Done():
				if cause := context.Cause(ctx); !errors.Is(cause, millrace.ErrCancelled) {
					t.Errorf("told that %v", cause)
				}
				return nil, ctx.Err()
			case <-time.After(10 * time.Minute):
				return make([]processor.Result[string], len(tasks)), nil
			}
		}, processor.Batch{Size: 3}, processor.Kind{})
		start(t, p)
		synctest.Wait()
		for _, cancelled := range []int{1, 2, 3} {
			var tasks []millrace.RawTask
			for i := range 3 {
				tasks = append(tasks, newTask(fmt.Sprintf("c%d-t%d", cancelled, i), "test.batch"))
			}
			submit(t, store, tasks...)
			began := time.Now()
			time.Sleep(3 * time.Minute)
			if n := trim(t, store); n < 3 {
				t.Errorf("%d tasks are off their log, want the batch", n)
			}
			for _, task := range tasks[:cancelled] {
				cancelTask(t, store, task.ID)
			}
			for i, task := range tasks {
				r := finishedIn(t, store, task.ID, time.Hour)
				if i < cancelled && r.State != millrace.Cancelled || i >= cancelled && (r.State != millrace.Succeeded || len(r.Attempts) != 1) {
					t.Errorf("%+v", r)
				}
			}
			submit(t, store, newTask(fmt.Sprintf("after%d", cancelled), echo))
			finishedIn(t, store, fmt.Sprintf("after%d", cancelled), time.Hour)
			want := 10 * time.Minute
			if cancelled == 3 {
				want = 3 * time.Minute
			}
			if took := time.Since(began).Round(time.Minute); took != want {
				t.Errorf("with %d of 3 cancelled the batch took %s, want %s", cancelled, took, want)
			}
		}
	})
}

// A batch that has not begun when the worker stops is handed back.
func TestStopWhileABatchCollects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		s := &sizes{}
		one := newProcessor(t, store, processor.Config{})
		processor.HandleBatch(one, "test.batch", s.handle, processor.Batch{Wait: 10 * time.Second}, processor.Kind{})
		stop := start(t, one)
		synctest.Wait()
		tasks := numbered("test.batch", 5)
		submit(t, store, tasks...)
		time.Sleep(time.Second)
		stop()
		if got := s.all(); len(got) > 0 {
			t.Errorf("it ran batches of %v", got)
		}
		two := newProcessor(t, store, processor.Config{})
		processor.HandleBatch(two, "test.batch", s.handle, processor.Batch{}, processor.Kind{})
		start(t, two)
		began := time.Now()
		for _, task := range tasks {
			if r := finished(t, store, task.ID); r.Lost != 0 || r.Deliveries != 2 {
				t.Errorf("%+v", r)
			}
		}
		// In a store with the server in it they are parked for a moment.
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("they came again after %s", took)
		}
	})
}

func TestWrongBatches(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	for _, batch := range []processor.Batch{{Size: -1}, {Size: 1001}, {Wait: -1}, {Wait: time.Minute}} {
		p := newProcessor(t, store, processor.Config{})
		processor.HandleBatch(p, "test.batch", (&sizes{}).handle, batch, processor.Kind{})
		if err := p.Run(t.Context()); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("%+v: %v", batch, err)
		}
	}
}
