package processor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// One of two workers dies before any of its writes while tasks wait for a rate. In no
// time of t seconds do more begin than the rate lets in t + 2, what the dead one had begun
// among them, and each task comes to its end.
func TestDeathUnderARate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// It is the process that dies, not the machine.
		b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
		rate := millrace.Rate{Count: 2, Per: time.Second}
		const tasks = 16 // the last ones wait for so long that they are parked
		for n := 0; ; n += broker.Step() {
			kind := fmt.Sprintf("paced.n%d", n) // so the rate begins anew
			var mu sync.Mutex
			var began []time.Time
			work := func(way broker.Way, died func() bool) (stop func()) {
				store, err := streams.Open(t.Context(), streams.Config{InProcess: way, AckWait: 5 * time.Second, Limits: []millrace.Limit{{Scope: millrace.LimitKind, Match: "paced.*", Rate: rate}}})
				ok(t, err)
				p := newProcessor(t, store, processor.Config{Concurrency: 4, Grace: time.Second})
				handle(p, kind, func(context.Context, millrace.RawTask) (any, error) {
					if died() {
						return nil, errors.New("it does not do anything any more")
					}
					mu.Lock()
					began = append(began, time.Now())
					mu.Unlock()
					time.Sleep(200 * time.Millisecond)
					return nil, nil
				})
				still, ended := moveDue(t, store), start(t, p)
				return func() {
					ended()
					still()
					store.Close()
				}
			}
			way := &broker.Mortal{Broker: b, Left: n}
			stopFirst := work(way, way.Died)
			stopSecond := work(b, func() bool { return false })
			watcher := openAlone(t, b)
			all := numberedAs(fmt.Sprintf("n%d-", n), kind, tasks)
			submit(t, watcher, all...)
			for _, task := range all {
				if r := finishedIn(t, watcher, task.ID, 2*time.Minute); r.State != millrace.Succeeded || len(r.Attempts) != 1 || r.Lost > 1 {
					t.Errorf("%d: %+v", n, r)
				}
			}
			died := way.Died()
			stopFirst()
			stopSecond()
			watcher.Close()
			slices.SortFunc(began, time.Time.Compare)
			for i := range began {
				for j := i + 1; j < len(began); j++ {
					if window, many := began[j].Sub(began[i]), j-i+1; many > int((window+2*time.Second)/rate.Interval()) {
						t.Fatalf("%d: %d began within %s: %v", n, many, window, began)
					}
				}
			}
			if !died {
				if n < tasks {
					t.Errorf("it died before each of %d writes, and there must be more", n)
				}
				return
			}
		}
	})
}
