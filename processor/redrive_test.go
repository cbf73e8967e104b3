package processor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// A redriven task has as many attempts as at first, whose numbers go on, and waits
// between them as at first.
func TestRedrivenCountsAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		var numbers []int
		handle(p, "test.fails", func(_ context.Context, task millrace.RawTask) (any, error) {
			numbers = append(numbers, task.Attempt)
			return nil, errors.New("no luck")
		})
		start(t, p)
		task := newTask("one", "test.fails")
		task.MaxAttempts, task.Backoff = 3, &millrace.Backoff{Policy: millrace.Exponential, Delay: millrace.Duration(10 * time.Second), Max: millrace.Duration(time.Hour)}
		submit(t, store, task)
		for life := range 3 {
			began := time.Now()
			r := finishedIn(t, store, "one", 5*time.Minute)
			if r.State != millrace.Failed || len(r.Attempts) != 3*(life+1) || r.Redrives != life || len(numbers) != len(r.Attempts) {
				t.Fatalf("life %d ends as %+v", life, r)
			}
			if took := time.Since(began); took < 30*time.Second || took > 40*time.Second { // 10 and 20
				t.Errorf("life %d took %s", life, took)
			}
			for i, a := range r.Attempts {
				if a.Number != i+1 || numbers[i] != i+1 {
					t.Errorf("attempt %d has the number %d, and was told %d", i+1, a.Number, numbers[i])
				}
			}
			if _, err := store.Redrive(t.Context(), "one", nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Redriven tasks come under the limits again, and leave nothing in their lines.
func TestRedrivenComeUnderLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Limits: []millrace.Limit{{Scope: millrace.LimitKind, Match: "test.*", Concurrency: 2}}})
		w := newWitness(t, map[millrace.LimitScope]int{millrace.LimitKey: 1, millrace.LimitKind: 2})
		p := newProcessor(t, store, processor.Config{Concurrency: 8})
		handle(p, "test.fails", func(_ context.Context, task millrace.RawTask) (any, error) {
			w.enters(task)
			defer w.leaves(task, task.Redrives > 0)
			time.Sleep(100 * time.Millisecond)
			if task.Redrives == 0 {
				return nil, millrace.Permanent(errors.New("no luck"))
			}
			return nil, nil
		})
		start(t, p)
		var tasks []millrace.RawTask
		for key := range 3 {
			tasks = append(tasks, keyed(fmt.Sprint("k", key), "test.fails", 4)...)
		}
		submit(t, store, tasks...)
		for _, task := range tasks {
			finishedIn(t, store, task.ID, time.Minute)
		}
		time.Sleep(2 * time.Second) // until their places in the lines are free again
		got, err := store.RedriveAll(t.Context(), streams.DeadQuery{Limit: 100}, 1000)
		if err != nil || got.Tasks != 12 || got.Next != "" {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, task := range tasks {
			if r := finishedIn(t, store, task.ID, time.Minute); r.State != millrace.Succeeded || len(r.Attempts) != 2 || w.runs[task.ID] != 2 {
				t.Errorf("%+v ran %d times", r, w.runs[task.ID])
			}
		}
		linesEmpty(t, b)
	})
}

// Tasks that die again while others are redriven, and by several at once, run once for
// each time that they were redriven.
func TestRedrivenDieAgainMeanwhile(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	w := newWitness(t, nil)
	p := newProcessor(t, store, processor.Config{Concurrency: 16})
	handle(p, "test.fails", func(_ context.Context, task millrace.RawTask) (any, error) {
		w.enters(task)
		defer w.leaves(task, true)
		return nil, millrace.Permanent(errors.New("no luck"))
	})
	start(t, p)
	var ids []string
	for i := range 60 {
		ids = append(ids, fmt.Sprint("t", i))
		submit(t, store, newTask(ids[i], "test.fails"))
	}
	for _, id := range ids {
		finished(t, store, id)
	}
	var redriving sync.WaitGroup
	for range 3 {
		other := open(t, b, streams.Config{})
		redriving.Go(func() {
			for range 3 {
				got, err := other.RedriveAll(t.Context(), streams.DeadQuery{Limit: 100}, 1000)
				if err != nil || len(got.Refused) > 0 {
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
	}
	redriving.Wait()
	for _, id := range ids {
		r := finished(t, store, id)
		if r.State != millrace.Failed || r.Redrives == 0 || len(r.Attempts) != r.Redrives+1 || w.runs[id] != r.Redrives+1 {
			t.Errorf("%s was redriven %d times, made %d attempts and ran %d times", id, r.Redrives, len(r.Attempts), w.runs[id])
		}
	}
}
