package streams_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
)

// pauseQueue says that a queue is paused since then.
func pauseQueue(name string, since time.Time) func(*streams.Settings) error {
	return func(s *streams.Settings) error {
		s.ChangeQueue(name, func(q *streams.QueueSettings) { q.Paused = since })
		return nil
	}
}

// Many change the settings at once, and nothing of what they said is lost. All
// processes know it soon, and one that comes later at once.
func TestSettingsOfManyWriters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		one, two := open(t, b, streams.Config{}), open(t, b, streams.Config{})
		var writing sync.WaitGroup
		for i := range 20 {
			store := []*streams.Store{one, two}[i%2]
			writing.Go(func() {
				_, err := store.Control().Update(t.Context(), func(s *streams.Settings) error {
					s.ChangeKind(fmt.Sprintf("test.k%d", i), func(k *streams.KindSettings) { k.Paused = time.Now().UTC() })
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		writing.Wait()
		synctest.Wait()
		for who, store := range map[string]*streams.Store{"one": one, "two": two, "three": open(t, b, streams.Config{})} {
			if got := len(store.Control().Get().Kinds); got != 20 {
				t.Errorf("%s knows %d of 20 kinds", who, got)
			}
		}
	})
}

// A change that is refused, or that changes nothing, writes nothing.
func TestSettingsUnchanged(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	since := time.Now().UTC()
	for i := range 20 { // enough that their order is not the same by chance
		if err := store.PauseKind(t.Context(), fmt.Sprintf("test.k%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	first, err := store.Control().Update(t.Context(), pauseQueue("bulk", since))
	if err != nil {
		t.Fatal(err)
	}
	again, err := store.Control().Update(t.Context(), pauseQueue("bulk", since))
	if err != nil || again.Revision() != first.Revision() {
		t.Errorf("revision %d after %d, %v", again.Revision(), first.Revision(), err)
	}
	why := errors.New("no")
	if _, err := store.Control().Update(t.Context(), func(s *streams.Settings) error { s.Queues = nil; return why }); !errors.Is(err, why) {
		t.Error(err)
	}
	if store.Control().Get().Queue("bulk").Paused.IsZero() {
		t.Error("what was refused was done")
	}
	cleared, err := store.Control().Update(t.Context(), pauseQueue("bulk", time.Time{}))
	if err != nil || len(cleared.Queues) != 0 {
		t.Errorf("a queue of which nothing is said: %v, %v", cleared.Queues, err)
	}
}

// What nobody sent word of is noticed all the same; so is an entry that is deleted. One
// that is no settings is not taken.
func TestSettingsWithoutWord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		ctx, stop := context.WithCancel(t.Context())
		var heard []int
		var watching sync.WaitGroup
		watching.Go(func() {
			store.Control().Watch(ctx, func(s *streams.Settings) { heard = append(heard, len(s.Queues)) })
		})
		kv, err := inspect(t, b).KeyValue(t.Context(), "control")
		if err != nil {
			t.Fatal(err)
		}
		put := func(text string) {
			t.Helper()
			if _, err := kv.PutString(t.Context(), "settings", text); err != nil {
				t.Fatal(err)
			}
			time.Sleep(11 * time.Second)
		}
		put(`{"queues":{"bulk":{"paused":"2026-01-02T03:04:05Z"}},"of_a_newer_version":1}`)
		put(`{"queues":`)
		if store.Control().Get().Queue("bulk").Paused.IsZero() {
			t.Error("what cannot be read was taken for something else")
		}
		if _, err := store.Control().Update(t.Context(), pauseQueue("bulk", time.Now())); err == nil {
			t.Error("what cannot be read was replaced")
		}
		if err := kv.Delete(t.Context(), "settings"); err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		stop()
		watching.Wait()
		if got := fmt.Sprint(heard); got != "[0 1 0]" {
			t.Errorf("heard of %s queues", got)
		}
	})
}

// While the broker is away, what was known goes on, and what cannot be written is said.
func TestSettingsInAnOutage(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	since := time.Now().UTC()
	if _, err := store.Control().Update(t.Context(), pauseQueue("bulk", since)); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	if got := store.Control().Get().Queue("bulk").Paused; !got.Equal(since) {
		t.Errorf("paused since %s, want %s", got, since)
	}
	if _, err := store.Control().Update(t.Context(), pauseQueue("bulk", time.Time{})); !errors.Is(err, millrace.ErrUnavailable) {
		t.Error(err)
	}
}
