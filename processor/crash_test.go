package processor_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// outside is a broker that other processes can reach, and a store on it.
func outside(t *testing.T, dir string) (*broker.Broker, *streams.Store) {
	t.Helper()
	b := broker.NewWith(t, embedded.Config{DataDir: dir})
	return b, open(t, b, streams.Config{AckWait: childAckWait})
}

// wantCrowd checks what became of a crowd: the poison is given up after five
// deliveries, and all others are done.
func wantCrowd(t *testing.T, b *broker.Broker, store *streams.Store) {
	t.Helper()
	for _, task := range crowdOfTasks(crowd) {
		r := lookup(t, store, task.ID)
		if task.ID != poison {
			if r.State != millrace.Succeeded || len(r.Attempts) != 1 || r.Lost > 3 {
				t.Errorf("a neighbour: %+v", r)
			}
			continue
		}
		if r.State != millrace.Failed || len(r.Attempts) > 0 || r.Lost != 5 || !strings.HasPrefix(r.Error, "worker lost: 5 deliveries") {
			t.Errorf("the poison: %+v", r)
		}
	}
	if all := dead(t, b); len(all) != 1 || all[poison].Record.State != millrace.Failed {
		t.Errorf("dead: %v", all)
	}
}

// A handler kills the process, and the server that is inside goes with it and with
// what it knew of deliveries.
func TestPoisonInOneProcess(t *testing.T) {
	t.Parallel()
	cfg := childConfig{DataDir: filepath.Join(t.TempDir(), "data"), Tasks: crowd}
	deaths := 0
	for startChild(t, cfg).wait(t) {
		if deaths++; deaths > 10 {
			t.Fatal("it never ends")
		}
	}
	t.Logf("%d deaths", deaths)
	b, store := outside(t, cfg.DataDir)
	wantCrowd(t, b, store)
}

// The same with the server in another process.
func TestPoisonBesideItsServer(t *testing.T) {
	t.Parallel()
	b, store := outside(t, filepath.Join(t.TempDir(), "data"))
	submit(t, store, crowdOfTasks(crowd)...)
	deaths := 0
	for {
		c := startChild(t, childConfig{URL: b.URL(), Tasks: crowd})
		if !c.wait(t) {
			break
		}
		if deaths++; deaths > 10 {
			t.Fatal("it never ends")
		}
	}
	t.Logf("%d deaths", deaths)
	wantCrowd(t, b, store)
}

// A worker is frozen for longer than its lease lasts, and thawed when another one
// has its task, or has finished it: what the other comes to stands.
func TestFrozenWorker(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration // the other
		waits bool          // until the other has finished
	}{
		"thawed when the other is done":            {0, true},
		"thawed while the other is in the midst":   {3 * time.Second, false},
		"thawed long after the other is done with": {100 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, store := outside(t, filepath.Join(t.TempDir(), "data"))
			frozen := startChild(t, childConfig{URL: b.URL()})
			submit(t, store, newTask("t1", "test.ask"))
			frozen.says(t, "started")
			frozen.signal(t, syscall.SIGSTOP)

			other := newProcessor(t, store, processor.Config{Worker: "other"})
			began := make(chan struct{}, 1)
			handle(other, "test.ask", func(context.Context, millrace.RawTask) (any, error) {
				began <- struct{}{}
				time.Sleep(c.takes)
				return "other", nil
			})
			start(t, other)
			<-began
			if c.waits {
				finished(t, store, "t1")
			}
			// Its handler returns at once, before anything tells it of the time.
			if _, err := fmt.Fprintln(frozen.in, "frozen"); err != nil {
				t.Fatal(err)
			}
			frozen.signal(t, syscall.SIGCONT)
			frozen.says(t, "returned")
			got := finished(t, store, "t1")
			if err := frozen.in.Close(); err != nil {
				t.Fatal(err)
			}
			if frozen.wait(t) {
				t.Error("the child was killed")
			}
			if string(got.Result) != `"other"` || len(got.Attempts) != 1 || got.Attempts[0].Worker != "other" || got.Lost != 1 {
				t.Errorf("its record: %+v", got)
			}
			wantRecord(t, got, lookup(t, store, "t1"))
		})
	}
}
