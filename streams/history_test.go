package streams_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// keep keeps the history of a store until stop, which closes it too.
func keep(t *testing.T, store *streams.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var keeping sync.WaitGroup
	keeping.Go(func() {
		if err := store.KeepHistory(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		keeping.Wait()
		store.Close()
	}
	t.Cleanup(stop)
	return stop
}

// runAll submits tasks, which wait a second and run for so long, and ends them.
func runAll(t *testing.T, store *streams.Store, run time.Duration, state millrace.State, ids ...string) {
	t.Helper()
	for _, id := range ids {
		submit(t, store, newTask(id))
	}
	time.Sleep(time.Second)
	p := pull(t, store, "default")
	taken := take(t, p, len(ids))
	start := time.Now().UTC()
	time.Sleep(run)
	for _, d := range taken {
		r := recordOf(d, state)
		r.Attempts = []millrace.Attempt{{Number: 1, StartedAt: start, EndedAt: time.Now().UTC(), Worker: "w"}}
		if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func history(t *testing.T, store *streams.Store, window, step time.Duration) streams.Point {
	t.Helper()
	now := time.Now()
	series, err := store.History(t.Context(), now.Add(step-window), now.Add(step), step)
	if err != nil {
		t.Fatal(err)
	}
	return series.Sum()
}

// wantCounts checks what was done over all, and that it is said how the queues were.
func wantCounts(t *testing.T, what string, p streams.Point, submitted, succeeded, failed int64) {
	t.Helper()
	if p.Submitted != submitted || p.Succeeded != succeeded || p.Failed != failed {
		t.Errorf("%s: %d submitted, %d succeeded, %d failed; want %d, %d, %d", what, p.Submitted, p.Succeeded, p.Failed, submitted, succeeded, failed)
	}
	if !p.Known {
		t.Errorf("%s: nobody looked at the queues", what)
	}
}

// The history adds up what all processes did, says how long it took, and is there
// whoever was started anew, the broker too. Its hours stay when its minutes have gone.
func TestHistory(t *testing.T) {
	midday := time.Now().Truncate(24 * time.Hour).Add(36 * time.Hour)
	broker.Bubble(t, midday, func(t *testing.T) {
		b := newBroker(t)
		one, two := open(t, b, streams.Config{}), open(t, b, streams.Config{})
		stopOne, stopTwo := keep(t, one), keep(t, two)
		runAll(t, one, 10*time.Second, millrace.Succeeded, "a", "b", "c")
		runAll(t, two, 20*time.Second, millrace.Failed, "d")
		submit(t, two, newTask("e"))
		time.Sleep(3 * time.Minute)
		sum := history(t, one, 15*time.Minute, time.Minute)
		wantCounts(t, "both", sum, 5, 3, 1)
		near := func(what string, got, want time.Duration) {
			t.Helper()
			if (got - want).Abs() > want/8 {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		near("run, half", sum.Run.Quantile(0.5), 10*time.Second)
		near("run, all", sum.Run.Quantile(1), 20*time.Second)
		near("wait", sum.Wait.Quantile(0.99), time.Second)
		if len(sum.Queues) != 3 || sum.Dead != 1 {
			t.Errorf("%+v", sum.Depths)
		}
		for _, q := range sum.Queues {
			if q.Queue == "default" && (q.Pending != 1 || q.Oldest < 60) {
				t.Errorf("%+v", q)
			}
		}

		submit(t, one, newTask("f")) // it is in no point yet
		stopOne()
		stopTwo()
		b.Stop()
		b.Start()
		again := open(t, b, streams.Config{})
		stopAgain := keep(t, again)
		wantCounts(t, "started anew", history(t, again, 15*time.Minute, time.Minute), 6, 3, 1)
		runAll(t, again, time.Second, millrace.Succeeded, "g") // gets e
		time.Sleep(2 * time.Minute)
		wantCounts(t, "gone on", history(t, again, 15*time.Minute, time.Minute), 7, 4, 1)
		wantCounts(t, "in the hour that is not over", history(t, again, 4*time.Hour, time.Hour), 7, 4, 1)
		time.Sleep(2 * time.Hour)
		wantCounts(t, "in an hour that is over", history(t, again, 4*time.Hour, time.Hour), 7, 4, 1)
		time.Sleep(26 * time.Hour)
		if n := streamSubjects(t, b, "HISTORY", "history.minute.>"); n != 0 {
			t.Errorf("%d points of minutes are left", n)
		}
		wantCounts(t, "days later", history(t, again, 48*time.Hour, time.Hour), 7, 4, 1)
		stopAgain()
	})
}

func streamSubjects(t *testing.T, b *broker.Broker, stream, filter string) int {
	t.Helper()
	st, err := inspect(t, b).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := st.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	return len(info.State.Subjects)
}

// What was done while the broker was away is told when it is back, once.
func TestHistoryOverAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Timeout: time.Second})
		stop := keep(t, store)
		submit(t, store, newTask("a"))
		b.Stop()
		time.Sleep(5 * time.Minute)
		b.Start()
		time.Sleep(2 * time.Minute)
		submit(t, store, newTask("b"))
		time.Sleep(2 * time.Minute)
		wantCounts(t, "back", history(t, store, 15*time.Minute, time.Minute), 2, 0, 0)

		// The point is written, and its answer lost.
		submit(t, store, newTask("c"))
		b.Deafen()
		time.Sleep(90 * time.Second)
		b.Hear()
		time.Sleep(3 * time.Minute)
		wantCounts(t, "deaf", history(t, store, 15*time.Minute, time.Minute), 3, 0, 0)
		stop()
	})
}

// Nothing is written of a process that does nothing, and one point a minute by all.
func TestHistoryOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		one, two := open(t, b, streams.Config{}), open(t, b, streams.Config{})
		stopOne, stopTwo := keep(t, one), keep(t, two)
		time.Sleep(10*time.Minute + 5*time.Second)
		synctest.Wait()
		if n := streamSubjects(t, b, "HISTORY", "history.minute.>"); n != 0 {
			t.Errorf("%d points of nothing", n)
		}
		if n := streamSubjects(t, b, "HISTORY", "history.queues.>"); n < 9 || n > 11 {
			t.Errorf("%d points of the queues in 10 minutes", n)
		}
		for _, step := range []time.Duration{0, -time.Minute, time.Second, 90 * time.Second, 90 * time.Minute} {
			if _, err := one.History(t.Context(), time.Now().Add(-time.Hour), time.Now(), step); !errors.Is(err, millrace.ErrInvalid) {
				t.Errorf("steps of %s: %v", step, err)
			}
		}
		stopOne()
		stopTwo()
	})
}

func TestHistogram(t *testing.T) {
	if got := (streams.Histogram{}).Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
	for d := time.Microsecond; d < 100*time.Hour; d = d*5/4 + 1 {
		h := streams.HistogramOf(d, d, d)
		if got := h.Quantile(0.5); h.Count() != 3 || d > 64*time.Microsecond && d < 70*time.Hour && (got-d).Abs() > d/7 {
			t.Errorf("%s is counted as %s", d, got)
		}
	}
}
