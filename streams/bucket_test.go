package streams_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

func TestBucket(t *testing.T) {
	b := newBroker(t)
	orders := open(t, b, streams.Config{}).Orders()
	if _, _, err := orders.Get(t.Context(), "order.1"); !errors.Is(err, millrace.ErrNotFound) {
		t.Errorf("nothing there: got %v, want ErrNotFound", err)
	}
	if _, err := orders.Put(t.Context(), "order.1", []byte("early"), 7, 0); !errors.Is(err, millrace.ErrConflict) {
		t.Errorf("to change what is not there: got %v, want ErrConflict", err)
	}
	first, err := orders.Put(t.Context(), "order.1", []byte("placed"), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orders.Put(t.Context(), "order.1", []byte("again"), 0, 0); !errors.Is(err, millrace.ErrConflict) {
		t.Errorf("to create what is there: got %v, want ErrConflict", err)
	}
	second, err := orders.Put(t.Context(), "order.1", []byte("paid"), first, 0)
	if err != nil || second <= first {
		t.Fatalf("revision %d after %d, %v", second, first, err)
	}
	if _, err := orders.Put(t.Context(), "order.1", []byte("late"), first, 0); !errors.Is(err, millrace.ErrConflict) {
		t.Errorf("with an old revision: got %v, want ErrConflict", err)
	}
	if _, err := orders.Put(t.Context(), "order.2", nil, 0, 0); err != nil {
		t.Error(err)
	}
	value, revision, err := orders.Get(t.Context(), "order.1")
	if err != nil || string(value) != "paid" || revision != second {
		t.Errorf("got %q at %d, %v, want paid at %d", value, revision, err, second)
	}

	// Any NATS client reads it as a key-value bucket.
	kv, err := inspect(t, b).KeyValue(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(t.Context(), "order.1")
	if err != nil || string(entry.Value()) != "paid" || entry.Revision() != second {
		t.Errorf("as a bucket: %v, %v", entry, err)
	}
}

// Of many who claim a key, one has it, and the others do not disturb those who
// claim another.
func TestClaims(t *testing.T) {
	const racers, keys = 32, 40
	eachMode(t, func(t *testing.T, b *broker.Broker, cfg streams.Config) {
		claims := open(t, b, cfg).Claims()
		var taken [keys]atomic.Int32
		var all sync.WaitGroup
		for range racers {
			all.Go(func() {
				for i := range keys {
					switch _, err := claims.Put(t.Context(), fmt.Sprintf("key-%d", i), []byte("x"), 0, 0); {
					case err == nil:
						taken[i].Add(1)
					case !errors.Is(err, millrace.ErrConflict):
						t.Errorf("key %d: %v", i, err)
					}
				}
			})
		}
		all.Wait()
		for i := range taken {
			if n := taken[i].Load(); n != 1 {
				t.Errorf("key %d was taken %d times", i, n)
			}
		}
	})
}

func TestEntriesExpire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		claims := open(t, b, streams.Config{}).Claims()
		if _, err := claims.Put(t.Context(), "brief", []byte("x"), 0, time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := claims.Put(t.Context(), "long", []byte("x"), 0, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if _, _, err := claims.Get(t.Context(), "brief"); err != nil {
			t.Errorf("after 59 s: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, _, err := claims.Get(t.Context(), "brief"); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("after 61 s: got %v, want ErrNotFound", err)
		}
		if _, err := claims.Put(t.Context(), "brief", []byte("y"), 0, 0); err != nil {
			t.Errorf("to claim it again: %v", err)
		}
		if _, _, err := claims.Get(t.Context(), "long"); err != nil {
			t.Errorf("the other one: %v", err)
		}
	})
}

func TestReady(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{Queues: []string{"default", "mail"}, AckWait: 7 * time.Second})
	if err := store.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if store.AckWait() != 7*time.Second || fmt.Sprint(store.Queues()) != "[default mail]" {
		t.Errorf("ack wait %s, queues %v", store.AckWait(), store.Queues())
	}
	if err := store.CheckQueue("mail"); err != nil {
		t.Error(err)
	}
	if err := store.CheckQueue("bulk"); !errors.Is(err, millrace.ErrInvalid) {
		t.Errorf("a queue that is not there: got %v, want ErrInvalid", err)
	}
	fill(t, store, 3)
	if n, err := store.LastSequence(t.Context(), "default"); err != nil || n != 3 {
		t.Errorf("last sequence %d, %v, want 3", n, err)
	}
	store.Close()
	wantUnavailable(t, "a closed store", store.Ready(t.Context()))
	store.Close() // harmless
}
