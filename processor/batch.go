package processor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"millrace"
)

// Batch is how many tasks a batch handler gets at once. The zero value is a
// sensible one.
type Batch struct {
	// Size is the most. Zero means 100; at most 1,000.
	Size int
	// Wait is how long the first task waits for more to come. Zero means 10 ms;
	// at most 10 s.
	Wait time.Duration
}

// Result is what came of one task of a batch.
type Result[R any] struct {
	// Value is the task's result, unless Err is set.
	Value R
	// Err is what a handler of one task would return: it may be a
	// [millrace.Permanent] or a [millrace.Snooze].
	Err error
}

// HandleBatch registers a handler that does many tasks of a kind at once, as
// [Handle] does one that does them one by one. A batch takes one of the places that
// [Config.Concurrency] gives, and all its tasks are from one queue.
//
// The handler returns a result for each task, in their order, or an error that
// holds for all of them. Each task has its own attempts, backoff and record: those
// that failed come again, perhaps in other company. A panic, or a time that is up,
// fails this attempt of all. The time is the kind's: tasks that name a timeout of
// their own do not have it in a batch.
//
// A task that is cancelled, or lost to another worker, does not end the context of
// the others, only what comes of it is dropped; the context ends with the last.
func HandleBatch[A, R any](p *Processor, kind string, fn func(context.Context, []millrace.Task[A]) ([]Result[R], error), b Batch, k Kind) {
	b.Size, b.Wait = cmp.Or(b.Size, 100), cmp.Or(b.Wait, 10*time.Millisecond)
	p.register(kind, fn == nil, handler{kind: k, batch: b, call: func(ctx context.Context, raw []millrace.RawTask) ([]returned, error) {
		all := make([]returned, len(raw))
		tasks, places := make([]millrace.Task[A], 0, len(raw)), make([]int, 0, len(raw))
		for i := range raw {
			t, err := decodeArgs[A](raw[i])
			if err != nil {
				all[i].err = err
				continue
			}
			tasks, places = append(tasks, t), append(places, i)
		}
		if len(tasks) == 0 {
			return all, nil
		}
		results, err := fn(ctx, tasks)
		if err == nil && len(results) != len(places) {
			err = fmt.Errorf("the handler returned %d results for %d tasks", len(results), len(places))
		}
		for i, place := range places {
			if err != nil {
				all[place].err = err
			} else {
				all[place] = encodeResult(results[i].Value, results[i].Err)
			}
		}
		return all, nil
	}})
}

func (b Batch) validate() error {
	if b.Size < 1 || b.Size > 1000 || b.Wait < 0 || b.Wait > 10*time.Second {
		return fmt.Errorf("%w: a batch has 1 to 1000 tasks and waits for at most 10s, not %d and %s", millrace.ErrInvalid, b.Size, b.Wait)
	}
	return nil
}
