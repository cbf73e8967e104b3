package processor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// Workers leave a queue that is removed, and serve it when it is added again.
func TestRemovedQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		start(t, newProcessor(t, open(t, b, streams.Config{}), processor.Config{}))
		synctest.Wait()
		for _, id := range []string{"first", "second"} {
			if _, err := store.AddQueue(t.Context(), "mail", streams.QueueSettings{}); err != nil {
				t.Fatal(err)
			}
			task := newTask(id, echo)
			task.Queue = "mail"
			submit(t, store, task)
			if r := finished(t, store, id); r.State != millrace.Succeeded {
				t.Errorf("%+v", r)
			}
			time.Sleep(time.Second) // until the acknowledgement is there
			ok(t, store.RemoveQueue(t.Context(), "mail", nil))
			time.Sleep(time.Minute)
			if all, err := store.Workers(t.Context()); err != nil || len(all) != 1 || len(all[0].Queues) != 3 {
				t.Errorf("the workers are %+v, %v", all, err)
			}
			submit(t, store, newTask("meanwhile-"+id, echo))
			finished(t, store, "meanwhile-"+id)
		}
	})
}
