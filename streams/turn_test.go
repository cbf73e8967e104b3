package streams_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// One has the turn at a time, and each gets it.
func TestTurns(t *testing.T) {
	b := newBroker(t)
	var running sync.WaitGroup
	var inside, most atomic.Int32
	for range 4 {
		ledger := open(t, b, streams.Config{}).Ledger()
		running.Go(func() {
			for range 25 {
				end, err := ledger.TakeTurn(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), inside.Add(1)))
				inside.Add(-1)
				end()
			}
		})
	}
	running.Wait()
	if most.Load() != 1 {
		t.Errorf("%d had the turn at once", most.Load())
	}
}

// The turn of one who has died ends by itself, and who is tired of waiting goes.
func TestTurnOfTheDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		ledger := open(t, b, streams.Config{}).Ledger()
		if _, err := ledger.TakeTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := ledger.TakeTurn(ctx); !errors.Is(err, millrace.ErrUnavailable) {
			t.Fatal(err)
		}
		start := time.Now()
		end, err := ledger.TakeTurn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		end()
		if waited := time.Since(start); waited > 3*time.Second {
			t.Errorf("it took %s", waited)
		}
	})
}
