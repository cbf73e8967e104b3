package streams_test

import (
	"context"
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

func keyOf(name, prefix string) streams.Key {
	return streams.Key{Prefix: prefix, Name: name, Hash: []byte(prefix), Scopes: []millrace.Scope{millrace.ScopeRead}, CreatedAt: time.Now().UTC()}
}

// A process that makes a key, signs in with it, signs out and revokes it dies before any of
// its writes, and another one does the same again: each is done once, or not yet.
func TestDeathAtAnyWriteOfAKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for n := 0; ; n++ {
			b := newBroker(t)
			way := &broker.Mortal{Broker: b, Left: n}
			dies, err := streams.Open(t.Context(), streams.Config{InProcess: way})
			if err != nil {
				t.Fatal(err)
			}
			lives := open(t, b, streams.Config{})
			session := streams.Session{Prefix: "first", ExpiresAt: time.Now().Add(time.Hour)}
			for i, do := range []func(context.Context, *streams.Keys) error{
				func(ctx context.Context, k *streams.Keys) error { return k.Add(ctx, keyOf("shop", "first")) },
				func(ctx context.Context, k *streams.Keys) error { return k.Add(ctx, keyOf("shop", "second")) },
				func(ctx context.Context, k *streams.Keys) error { return k.Begin(ctx, "id", session) },
				func(ctx context.Context, k *streams.Keys) error { return k.End(ctx, "id") },
				func(ctx context.Context, k *streams.Keys) error {
					_, err := k.Revoke(ctx, "first")
					return err
				},
			} {
				err := do(t.Context(), dies.Keys())
				if err != nil && !way.Died() {
					t.Fatalf("step %d: %v", i, err)
				}
				if err != nil {
					if err := do(t.Context(), lives.Keys()); err != nil && !(i == 2 && errors.Is(err, millrace.ErrConflict)) {
						t.Fatalf("step %d, again, when the process died before write %d: %v", i, n, err)
					}
				}
				ring, err := lives.Keys().Ring(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				want := fmt.Sprint(min(i+1, 2), i == 2, i == 4)
				if got := fmt.Sprint(len(ring.Keys), len(ring.Sessions) == 1, !ring.Keys["first"].Live(time.Now())); got != want {
					t.Fatalf("after step %d, when the process died before write %d: %s, want %s", i, n, got, want)
				}
			}
			dies.Close()
			if !way.Died() {
				if t.Logf("it died before each of %d writes", n); n < 5 {
					t.Error("there must be more")
				}
				return
			}
		}
	})
}

// However many make a key of a name at once, two are good.
func TestKeysOfAName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		var made, refused atomic.Int32
		var making sync.WaitGroup
		for i := range 6 {
			store := open(t, b, streams.Config{})
			making.Go(func() {
				switch err := store.Keys().Add(t.Context(), keyOf("shop", fmt.Sprint("key", i))); {
				case err == nil:
					made.Add(1)
				case errors.Is(err, millrace.ErrConflict):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		making.Wait()
		if made.Load() != 2 || refused.Load() != 4 {
			t.Errorf("%d are made and %d refused", made.Load(), refused.Load())
		}
	})
}
