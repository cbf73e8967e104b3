package processor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// What a handler says of its progress is in the record within a second, is written
// once a second at most, and is in the final record.
func TestProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		handle(p, "test.count", func(ctx context.Context, task millrace.RawTask) (any, error) {
			for i := range 1000 {
				processor.Progress(ctx, i, 1000, fmt.Sprint("row ", i))
				time.Sleep(20 * time.Millisecond)
			}
			time.Sleep(10 * time.Second)
			processor.Progress(ctx, 1000, 1000, strings.Repeat("€", 1000))
			if task.Attempt == 1 {
				return nil, errors.New("no luck")
			}
			return "done", nil
		})
		start(t, p)
		synctest.Wait()
		task := newTask("t1", "test.count")
		submit(t, store, task)
		time.Sleep(10 * time.Second)
		got := lookup(t, store, "t1")
		if got.State != millrace.Running || got.Progress.Total != 1000 || got.Progress.Done < 400 || got.Progress.Done > 500 ||
			got.Progress.Note != fmt.Sprint("row ", got.Progress.Done) || time.Since(got.Progress.At) > 1100*time.Millisecond {
			t.Errorf("after 10 s: %+v", got)
		}
		if n := streamState(t, b, "KV_results").LastSeq; n > 11 {
			t.Errorf("in 10 s it was written %d times", n)
		}
		time.Sleep(11500 * time.Millisecond)
		if got := lookup(t, store, "t1"); got.Progress.Done != 999 {
			t.Errorf("a second after the last word: %+v", got)
		}
		time.Sleep(9 * time.Second)
		got = lookup(t, store, "t1")
		if got.State != millrace.Retrying || got.Progress.Done != 1000 || len(got.Progress.Note) > 1100 || got.Lost != 0 {
			t.Errorf("after the first attempt: %+v", got)
		}
		got = finishedIn(t, store, "t1", time.Hour)
		if got.State != millrace.Succeeded || got.Progress.Done != 1000 || len(got.Attempts) != 2 || got.Lost != 0 || got.Deliveries != 2 {
			t.Errorf("in the end: %+v", got)
		}
	})
}

// Of a batch it is the progress of every task. Elsewhere it is nothing.
func TestProgressOfABatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		processor.Progress(t.Context(), 1, 2, "nobody hears this")
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		processor.HandleBatch(p, "test.batch", func(ctx context.Context, tasks []millrace.RawTask) ([]processor.Result[int], error) {
			processor.Progress(ctx, 1, 2, "half")
			time.Sleep(5 * time.Second)
			return make([]processor.Result[int], len(tasks)), nil
		}, processor.Batch{}, processor.Kind{})
		start(t, p)
		tasks := submitMany(t, store, "test.batch", 50)
		time.Sleep(2 * time.Second)
		for _, task := range tasks {
			if r := lookup(t, store, task.ID); r.State != millrace.Running || r.Progress.Note != "half" {
				t.Errorf("meanwhile %+v", r)
			}
		}
		for _, task := range tasks {
			if r := finished(t, store, task.ID); r.State != millrace.Succeeded || r.Progress.Note != "half" {
				t.Errorf("%+v", r)
			}
		}
	})
}

// Progress that cannot be written harms nobody: the task goes on, and what was said
// last is there when the broker is back. What a handler says that was given up does
// not touch what has become of its task.
func TestProgressThatIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{CancelGrace: time.Second})
		loud := func(ctx context.Context, _ millrace.RawTask) (any, error) {
			for i := range 40 {
				processor.Progress(ctx, i, 0, "")
				time.Sleep(time.Second)
			}
			return nil, nil
		}
		handle(p, "test.loud", loud)
		start(t, p)
		synctest.Wait()
		submit(t, store, newTask("t1", "test.loud"), newTask("t2", "test.loud"))
		time.Sleep(5500 * time.Millisecond)
		b.Stop()
		time.Sleep(10 * time.Second)
		b.Start()
		eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
		time.Sleep(2 * time.Second)
		if r := lookup(t, store, "t1"); r.State != millrace.Running || r.Progress.Done < 14 {
			t.Errorf("when the broker is back: %+v", r)
		}
		cancelTask(t, store, "t2")
		called := lookup(t, store, "t2")
		r := finishedIn(t, store, "t1", time.Minute)
		if r.State != millrace.Succeeded || r.Progress.Done != 39 || len(r.Attempts) != 1 || r.Lost != 0 {
			t.Errorf("in the end: %+v", r)
		}
		time.Sleep(time.Minute)
		wantRecord(t, called, lookup(t, store, "t2"))
	})
}
