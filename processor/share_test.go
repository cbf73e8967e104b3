package processor_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// The share of a queue that was added changes while workers run, unless their own
// configuration names it.
func TestShareChangesLive(t *testing.T) {
	for name, c := range map[string]struct {
		own  []processor.Queue
		want int // of 20, those that are mails
	}{
		"a worker of all queues":   {nil, 18},
		"of those that were added": {[]processor.Queue{{Name: "default"}}, 18},
		"of its own":               {[]processor.Queue{{Name: "default"}, {Name: "mail"}}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{Queues: []string{"default"}})
				add := func(weight int) {
					_, err := store.AddQueue(t.Context(), "mail", streams.QueueSettings{Weight: weight})
					ok(t, err)
				}
				add(1)
				var ran []string
				p := newProcessor(t, store, processor.Config{Concurrency: 1, Queues: c.own, Added: true})
				handle(p, "test.slow", func(_ context.Context, task millrace.RawTask) (any, error) {
					ran = append(ran, task.Queue)
					time.Sleep(30 * time.Millisecond)
					return nil, nil
				})
				start(t, p)
				synctest.Wait()
				ok(t, store.PauseQueue(t.Context(), "default"))
				ok(t, store.PauseQueue(t.Context(), "mail"))
				add(27) // defaults have 3
				var tasks []millrace.RawTask
				for i := range 60 {
					for _, queue := range []string{"default", "mail"} {
						task := newTask(fmt.Sprint(queue, i), "test.slow")
						task.Queue = queue
						tasks = append(tasks, task)
					}
				}
				submit(t, store, tasks...)
				ok(t, store.ResumeQueue(t.Context(), "default"))
				ok(t, store.ResumeQueue(t.Context(), "mail"))
				finished(t, store, "mail59")
				mails := 0
				for _, queue := range ran[2:22] { // the first ones are who answers first
					if queue == "mail" {
						mails++
					}
				}
				if mails < c.want-3 || mails > min(20, c.want+3) {
					t.Errorf("of 20 tasks %d were mails, want about %d", mails, c.want)
				}
			})
		})
	}
}
