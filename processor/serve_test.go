package processor_test

import (
	"testing"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// A worker with queues of its own serves also those that were added, before it started
// and since, if it is to.
func TestServesAlsoAddedQueues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		add := func(queue string) {
			_, err := store.AddQueue(t.Context(), queue, streams.QueueSettings{Strict: true})
			ok(t, err)
		}
		add("before")
		start(t, newProcessor(t, open(t, b, streams.Config{}), processor.Config{Queues: []processor.Queue{{Name: "default", Weight: 3}}, Added: true}))
		add("since")
		add("since") // again
		for _, queue := range []string{"before", "since", "default"} {
			task := newTask("of-"+queue, echo)
			task.Queue = queue
			submit(t, store, task)
			if r := finished(t, store, task.ID); r.State != millrace.Succeeded {
				t.Errorf("%+v", r)
			}
		}
	})
}
