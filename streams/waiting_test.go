package streams_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// due waits for n things that are due, in any shard.
func due(t *testing.T, store *streams.Store, n int) []*streams.Due {
	t.Helper()
	ctx, enough := context.WithTimeout(t.Context(), 2*time.Hour)
	defer enough()
	var (
		mu      sync.Mutex
		all     []*streams.Due
		pulling sync.WaitGroup
	)
	for shard := range store.Shards() {
		p, err := store.PullDue(shard)
		if err != nil {
			t.Fatal(err)
		}
		pulling.Go(func() {
			for ctx.Err() == nil {
				got, err := p.Next(ctx, 100)
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				mu.Lock()
				if all = append(all, got...); len(all) >= n {
					enough()
				}
				mu.Unlock()
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	pulling.Wait()
	if len(all) < n {
		t.Fatalf("%d of %d are due", len(all), n)
	}
	return all
}

func move(t *testing.T, store *streams.Store, all []*streams.Due) {
	t.Helper()
	if err := store.Move(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func lookup(t *testing.T, store *streams.Store, id string) millrace.Record {
	t.Helper()
	f, err := store.Lookup(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return f.Record
}

func TestATaskForLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		at := time.Now().Add(90*time.Second + time.Millisecond)
		if err := store.SubmitAt(t.Context(), newTask("later"), at); err != nil {
			t.Fatal(err)
		}
		if err := store.SubmitAt(t.Context(), newTask("later"), at); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("the same id again: %v", err)
		}
		if r := lookup(t, store, "later"); r.State != millrace.Scheduled || !r.NextAt.Equal(at) || r.Kind != "demo.echo" {
			t.Errorf("while it waits: %+v", r)
		}
		all := due(t, store, 1)
		if now := time.Now(); now.Before(at) || now.After(at.Add(1500*time.Millisecond)) {
			t.Errorf("due at %s, came at %s", at, now)
		}
		wantState(t, store, "later", millrace.Scheduled)
		move(t, store, all)
		move(t, store, all) // twice is once
		wantState(t, store, "later", millrace.Pending)
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		if d.Task.ID != "later" || string(d.Task.Args) != `{"n":1}` || d.Delivered != 1 {
			t.Errorf("came as %+v", d)
		}
		if got, err := p.Next(t.Context(), 10); err != nil || len(got) != 0 {
			t.Errorf("and then %d more, %v", len(got), err)
		}
	})
}

func retrying(d *streams.Delivery, at time.Time) millrace.Record {
	r := millrace.Record{ID: d.Task.ID, Kind: d.Task.Kind, Queue: d.Task.Queue, State: millrace.Retrying, SubmittedAt: d.Task.SubmittedAt, NextAt: at}
	if d.Record != nil {
		r.Attempts = d.Record.Attempts
	}
	r.Attempts = append(r.Attempts, millrace.Attempt{Number: len(r.Attempts) + 1, Error: "no luck"})
	return r
}

func TestALongWaitIsParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		submit(t, store, newTask("t"))
		p := pull(t, store, "default")
		for attempt := range 3 {
			d := take(t, p, 1)[0]
			at := time.Now().Add(30 * time.Second)
			if err := store.Retry(t.Context(), d, retrying(d, at), 30*time.Second); err != nil {
				t.Fatal(err)
			}
			wantState(t, store, "t", millrace.Retrying)
			all := due(t, store, 1)
			if time.Now().Before(at) {
				t.Errorf("attempt %d is early", attempt)
			}
			move(t, store, all)
		}
		d := take(t, p, 1)[0]
		if d.Record == nil || len(d.Record.Attempts) != 3 || d.Task.Tried != 3 || d.Delivered != 1 {
			t.Errorf("came back as %+v with %+v", d, d.Record)
		}
	})
}

// What waits keeps neither the consumer nor the log.
func TestParkedTasksHoldNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		submit(t, store, newTask("t"), newTask("u"))
		p := pull(t, store, "default")
		for _, d := range take(t, p, 2) {
			if err := store.Retry(t.Context(), d, retrying(d, time.Now().Add(time.Hour)), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if n, err := store.Trim(t.Context(), "default", streams.Retention{}); err != nil || n != 2 {
			t.Errorf("trimmed %d, %v", n, err)
		}
		move(t, store, due(t, store, 2))
		if got := take(t, p, 2); got[0].Record == nil {
			t.Error("came back without its record")
		}
	})
}

func TestCheckOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		submit(t, store, newTask("t"))
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		running := millrace.Record{ID: "t", Kind: d.Task.Kind, Queue: "default", State: millrace.Running}
		if err := store.CheckOut(t.Context(), d, running); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(10 * time.Second)
			if err := store.ExtendCheckedOut(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := store.Trim(t.Context(), "default", streams.Retention{}); err != nil || n != 1 {
			t.Errorf("trimmed %d, %v", n, err)
		}
		wantState(t, store, "t", millrace.Running)
		died := time.Now()
		move(t, store, due(t, store, 1))
		if waited := time.Since(died); waited < 29*time.Second || waited > 35*time.Second {
			t.Errorf("came back after %s", waited)
		}
		if err := store.ExtendCheckedOut(t.Context(), d); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("the dead one renews: %v", err)
		}
		d = take(t, p, 1)[0]
		if err := store.CheckOut(t.Context(), d, running); err != nil {
			t.Fatal(err)
		}
		running.State = millrace.Succeeded
		if err := store.Finish(t.Context(), d, running, time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if got, err := p.Next(t.Context(), 10); err != nil || len(got) != 0 {
			t.Errorf("%d came after it was done, %v", len(got), err)
		}
		wantState(t, store, "t", millrace.Succeeded)
	})
}

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		told := make(chan string, 10)
		stop, err := store.Cancellations(func(id string) { told <- id })
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stop() }()
		submit(t, store, newTask("pending"), newTask("running"), newTask("retrying"))
		if err := store.SubmitAt(t.Context(), newTask("scheduled"), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		p := pull(t, store, "default")
		held := take(t, p, 3)
		for i := range held {
			if held[i].Task.ID == "pending" {
				if err := held[i].Release(0); err != nil {
					t.Fatal(err)
				}
			}
			if d := held[i]; d.Task.ID == "retrying" {
				if err := store.Retry(t.Context(), d, retrying(d, time.Now().Add(time.Minute)), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, id := range []string{"pending", "running", "retrying", "scheduled"} {
			for range 2 {
				r, err := store.Cancel(t.Context(), id)
				if err != nil || r.State != millrace.Cancelled {
					t.Errorf("cancel %s: %s, %v", id, r.State, err)
				}
			}
			if got := <-told; got != id {
				t.Errorf("told of %s, want %s", got, id)
			}
			wantState(t, store, id, millrace.Cancelled)
		}
		for _, d := range held {
			if d.Task.ID != "running" {
				continue
			}
			done := millrace.Record{ID: "running", Kind: d.Task.Kind, Queue: "default", State: millrace.Succeeded}
			if err := store.Finish(t.Context(), d, done, time.Hour); !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("the outcome of a cancelled task: %v", err)
			}
		}
		time.Sleep(90 * time.Minute)
		if got, err := p.Next(t.Context(), 10); err != nil || len(got) != 0 {
			t.Errorf("%d came all the same, %v", len(got), err)
		}
		var final *millrace.FinalError
		submit(t, store, newTask("done"))
		d := take(t, p, 1)[0]
		if err := store.Finish(t.Context(), d, millrace.Record{ID: "done", Kind: d.Task.Kind, Queue: "default", State: millrace.Succeeded}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Cancel(t.Context(), "done"); !errors.As(err, &final) || final.State != millrace.Succeeded {
			t.Errorf("cancel what is done: %v", err)
		}
		if _, err := store.Cancel(context.Background(), "never"); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("cancel what never was: %v", err)
		}
	})
}
