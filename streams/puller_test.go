package streams_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/streams"
)

// fill submits n tasks to the queue "default", t0 and so on.
func fill(t *testing.T, store *streams.Store, n int) {
	t.Helper()
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprintf("t%d", i))
	}
	submit(t, store, tasks...)
}

// A puller takes what it has room for, and leaves the rest to others.
func TestPullersShare(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		fill(t, store, 100)
		seen := map[string]bool{}
		for _, room := range []int{1, 3, 30, 66} {
			p := pull(t, store, "default")
			got := take(t, p, room)
			if len(got) != room || p.Asked() != 0 {
				t.Errorf("with room for %d, %d came and %d are to come", room, len(got), p.Asked())
			}
			for _, d := range got {
				if seen[d.Task.ID] {
					t.Errorf("%s came twice", d.Task.ID)
				}
				seen[d.Task.ID] = true
			}
			if got, err := p.Next(t.Context(), 0); len(got) > 0 || err != nil {
				t.Errorf("without room: %d tasks, %v", len(got), err)
			}
		}
		if len(seen) != 100 {
			t.Errorf("%d of 100 tasks came", len(seen))
		}
	})
}

func TestAnEmptyQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := pull(t, store, "default")
		start := time.Now()
		if got, err := p.Next(t.Context(), 10); len(got) > 0 || err != nil {
			t.Errorf("got %d tasks, %v", len(got), err)
		}
		if d := time.Since(start); d < time.Second || d > 1300*time.Millisecond {
			t.Errorf("waited %s, want about a second", d)
		}

		// What comes while it waits comes at once.
		time.AfterFunc(500*time.Millisecond, func() { _ = store.Submit(context.Background(), newTask("t1")) })
		start = time.Now()
		if got := takeWithin(t, p, time.Minute); got.Task.ID != "t1" || time.Since(start) > 510*time.Millisecond {
			t.Errorf("%s came after %s", got.Task.ID, time.Since(start))
		}

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start = time.Now()
		if got, err := p.Next(ctx, 10); len(got) > 0 || err != nil || time.Since(start) != 100*time.Millisecond {
			t.Errorf("its context ended: %d tasks, %v, after %s", len(got), err, time.Since(start))
		}
	})
}

// Pull requests can be lost on the way, or with a server or a leader. The puller
// then asks again within two seconds.
func TestLostRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := pull(t, store, "default")
		for round := range 20 {
			p.Ask(1 + round)
			p.Ask(3)
			submit(t, store, newTask(fmt.Sprintf("t%d", round)))
			time.Sleep(time.Duration(round) * 70 * time.Millisecond) // whenever the feeder comes round
			start := time.Now()
			d := takeWithin(t, p, time.Minute)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("round %d: came after %s", round, took)
			}
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The same when the connection goes with all requests.
func TestRequestsLostWithTheServer(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	p := pull(t, store, "default")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Next(ctx, 10); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	b.Start()
	eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
	fill(t, store, 10)
	start := time.Now()
	for n := 0; n < 10; {
		got, err := p.Next(t.Context(), 10)
		if err != nil {
			continue // the server said that it is stopping
		}
		n += len(got)
		if time.Since(start) > 2*time.Second {
			t.Fatalf("%d of 10 tasks in two seconds", n)
		}
	}
}

// Whatever was on its way to a puller that is closed comes to another one at once,
// instead of when its lease is over.
func TestCloseHandsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: time.Hour})
		submitter := open(t, b, streams.Config{AckWait: time.Hour})
		p := pull(t, store, "default")
		fill(t, submitter, 10)
		take(t, p, 4) // taken, and not the puller's any more
		if got, err := p.Next(ended(t), 100); len(got) > 0 || err != nil {
			t.Fatalf("its context had ended: %d tasks, %v", len(got), err)
		}
		synctest.Wait() // the rest has arrived

		// And there are some that the server has sent, but that are still on the line.
		b.Deafen()
		go func() {
			_ = submitter.SubmitMany(context.Background(), []millrace.RawTask{newTask("t10"), newTask("t11")})
		}()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- p.Close() }()
		synctest.Wait()
		b.Hear()
		if err := <-closed; err != nil {
			t.Fatal(err)
		}

		start := time.Now()
		got := take(t, pull(t, store, "default"), 8)
		if took := time.Since(start); len(got) != 8 || took > 5*time.Second {
			t.Errorf("%d tasks came after %s", len(got), took)
		}
	})
}

// The same while tasks pour in.
func TestCloseUnderLoad(t *testing.T) {
	const rounds, n = 20, 50
	b := newBroker(t)
	store := open(t, b, streams.Config{AckWait: time.Hour})
	for round := range rounds {
		p := pull(t, store, "default")
		if _, err := p.Next(ended(t), 1000); err != nil { // asks, and does not wait
			t.Fatal(err)
		}
		tasks := make([]millrace.RawTask, n)
		for i := range tasks {
			tasks[i] = newTask(fmt.Sprintf("t%d-%d", round, i))
		}
		var all sync.WaitGroup
		all.Go(func() { submit(t, store, tasks...) })
		// Early, in the middle of it or late.
		time.Sleep(time.Duration(round) * 200 * time.Microsecond)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		other := pull(t, store, "default")
		for _, d := range take(t, other, n) {
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
