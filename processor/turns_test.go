package processor_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// served is which queues the tasks came from, in the order that a processor with
// one handler took them.
func served(t *testing.T, queues []processor.Queue, each int, takes time.Duration) []string {
	t.Helper()
	b := newBroker(t)
	cfg := streams.Config{}
	for _, q := range queues {
		cfg.Queues = append(cfg.Queues, q.Name)
	}
	store := open(t, b, cfg)
	var mu sync.Mutex
	var order []string
	p := newProcessor(t, store, processor.Config{Queues: queues, Concurrency: 1})
	handle(p, "test.order", func(_ context.Context, task millrace.RawTask) (any, error) {
		mu.Lock()
		order = append(order, task.Queue)
		mu.Unlock()
		time.Sleep(takes)
		return nil, nil
	})
	for _, q := range queues {
		for i := range each {
			task := newTask(fmt.Sprintf("%s-%d", q.Name, i), "test.order")
			task.Queue = q.Name
			submit(t, store, task)
		}
	}
	start(t, p)
	for _, q := range queues {
		for i := range each {
			finishedIn(t, store, fmt.Sprintf("%s-%d", q.Name, i), 24*time.Hour)
		}
	}
	return order
}

func TestWeights(t *testing.T) {
	for _, takes := range []time.Duration{10 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second} {
		t.Run(fmt.Sprint("tasks of ", takes), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				order := served(t, []processor.Queue{{Name: "critical", Weight: 6}, {Name: "default", Weight: 3}, {Name: "bulk", Weight: 1}}, 60, takes)
				count := map[string]int{}
				for _, queue := range order[2:92] { // the first ones take what comes
					count[queue]++
				}
				for queue, want := range map[string]int{"critical": 54, "default": 27, "bulk": 9} {
					if n := count[queue]; n < want-3 || n > want+3 {
						t.Errorf("%s had %d of 90 turns, want %d", queue, n, want)
					}
				}
			})
		})
	}
}

func TestStrictQueues(t *testing.T) {
	for _, takes := range []time.Duration{10 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second} {
		t.Run(fmt.Sprint("tasks of ", takes), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				order := served(t, []processor.Queue{{Name: "default", Weight: 5}, {Name: "now", Strict: true}, {Name: "bulk", Weight: 5}}, 30, takes)
				early := 0
				for _, queue := range order[:30] {
					if queue != "now" {
						early++
					}
				}
				if early > 2 { // the first ones take what comes
					t.Errorf("%d tasks of other queues went before strict ones: %v", early, order)
				}
				// The others then share as if nothing had been.
				count := map[string]int{}
				for _, queue := range order[32:52] {
					count[queue]++
				}
				if count["default"] < 8 || count["bulk"] < 8 {
					t.Errorf("afterwards the others shared %v: %v", count, order)
				}
			})
		})
	}
}
