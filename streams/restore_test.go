package streams_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/streams"
)

// restore tries until it works: right after a consumer was deleted, the server may
// stumble over the files that it is still deleting.
func restore(t *testing.T, p *streams.Puller) {
	t.Helper()
	eventually(t, "the consumer is there", func() bool { return p.Restore(t.Context()) == nil })
}

// Somebody may delete the consumer. What it knew is lost: all that is not trimmed
// is delivered again.
func TestRestore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: 17 * time.Second})
		fill(t, store, 2)
		p := pull(t, store, "default")
		done := take(t, p, 2)[0]
		if err := store.Finish(t.Context(), done, recordOf(done, millrace.Succeeded), time.Hour); err != nil {
			t.Fatal(err)
		}
		js := inspect(t, b)
		for range 2 {
			var all sync.WaitGroup
			all.Go(func() {
				// A request stands when it happens.
				if got, err := p.Next(t.Context(), 10); len(got) > 0 || err == nil {
					t.Errorf("without consumer: %d tasks, %v", len(got), err)
				}
			})
			synctest.Wait()
			if err := js.DeleteConsumer(t.Context(), "TASKS_default", "workers"); err != nil {
				t.Fatal(err)
			}
			all.Wait()
			// And one is made when it is not there.
			got, err := p.Next(t.Context(), 10)
			if len(got) > 0 {
				t.Errorf("without consumer: %d tasks came", len(got))
			}
			wantUnavailable(t, "next", err)

			restore(t, p)
			restore(t, p) // harmless to repeat
			for _, d := range take(t, p, 2) {
				if finished := d.Record != nil && d.Record.State.Final(); finished != (d.Task.ID == done.Task.ID) {
					t.Errorf("%s came with the record %+v", d.Task.ID, d.Record)
				}
			}
		}
		consumer, err := js.Consumer(t.Context(), "TASKS_default", "workers")
		if err != nil || consumer.CachedInfo().Config.AckWait != 17*time.Second {
			t.Errorf("restored as %+v, %v", consumer.CachedInfo().Config, err)
		}
	})
}

// Somebody deletes a queue's whole log, whose numbers then start anew: what is
// submitted afterwards is not taken for something that was done long ago.
func TestLogDeleted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := pull(t, store, "default")
		fill(t, store, 100)
		for _, d := range take(t, p, 100) {
			if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Hour)
		wantNothing(t, p, 10*time.Second) // and it notes how far it is
		if err := inspect(t, b).DeleteStream(t.Context(), "TASKS_default"); err != nil {
			t.Fatal(err)
		}
		again := open(t, b, streams.Config{})
		submit(t, again, newTask("new"))
		if d := takeWithin(t, pull(t, again, "default"), time.Minute); d.Task.ID != "new" {
			t.Errorf("%s came", d.Task.ID)
		}
	})
}
