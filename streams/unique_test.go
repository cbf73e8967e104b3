package streams_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

func args(n int) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)) }

func uniqueTask(id string, n int) millrace.RawTask {
	t := newTask(id)
	t.Args = args(n)
	return t
}

// finishAll has all that is in the queue succeed, and returns what it was.
func finishAll(t *testing.T, store *streams.Store, p *streams.Puller) map[string]string {
	t.Helper()
	done := map[string]string{}
	for {
		some, err := p.Next(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			return done
		}
		for _, d := range some {
			if d.Record != nil && d.Record.State.Final() {
				if err := d.Ack(); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := succeed(t, store, d); err != nil {
				t.Fatal(err)
			}
			done[d.Task.ID] += string(d.Task.Args)
		}
	}
}

// claim is what a worker does before it calls the handler.
func claim(t *testing.T, store *streams.Store, d *streams.Delivery) error {
	t.Helper()
	r := millrace.Record{ID: d.Task.ID, Kind: d.Task.Kind, Queue: d.Task.Queue, SubmittedAt: d.Task.SubmittedAt}
	if d.Record != nil {
		r = *d.Record
	}
	r.State, r.Claimed, r.Lost = millrace.Running, true, 1
	return store.Note(t.Context(), d, r)
}

func succeed(t *testing.T, store *streams.Store, d *streams.Delivery) error {
	t.Helper()
	now := time.Now().UTC()
	return store.Finish(t.Context(), d, millrace.Record{
		ID: d.Task.ID, Kind: d.Task.Kind, Queue: d.Task.Queue, State: millrace.Succeeded,
		SubmittedAt: d.Task.SubmittedAt, FinishedAt: now, ExpiresAt: now.Add(time.Hour), Deliveries: int(d.Delivered), Result: d.Task.Args,
	}, time.Hour)
}

func TestUniqueScopes(t *testing.T) {
	for _, c := range []struct {
		while   millrace.UniqueScope
		running bool // whether the key is free while its task runs
		done    bool // and when it is done
	}{
		{millrace.WhilePending, true, true},
		{millrace.WhileUnfinished, false, true},
		{"", false, true},
		{millrace.WhileFor, false, false},
	} {
		t.Run(string(c.while), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				store := open(t, newBroker(t), streams.Config{})
				u := millrace.Unique{Key: "a key: ä", While: c.while}
				if c.while == millrace.WhileFor {
					u.For = time.Minute
				}
				n := 0
				free := func(when string, want bool) {
					t.Helper()
					n++
					_, err := store.SubmitUnique(t.Context(), newTask(fmt.Sprint("t", n)), time.Time{}, u)
					taken, is := errors.AsType[*millrace.TakenError](err)
					if err != nil && (!is || !errors.Is(err, millrace.ErrConflict) || taken.ID == "") || want != (err == nil) {
						t.Fatalf("%s: %v", when, err)
					}
				}
				free("at first", true)
				free("while it is pending", false)
				p := pull(t, store, "default")
				d := take(t, p, 1)[0]
				free("before its worker has claimed it", false)
				if err := claim(t, store, d); err != nil {
					t.Fatal(err)
				}
				free("while it runs", c.running)
				if err := succeed(t, store, d); err != nil {
					t.Fatal(err)
				}
				finishAll(t, store, p)
				free("when it is done", c.done)
				if c.while == millrace.WhileFor {
					time.Sleep(time.Minute)
					free("when its time is over", true)
				}
			})
		})
	}
}

// Of many that want a key at once, on several stores, one gets it, round after round.
func TestUniqueRace(t *testing.T) {
	b := newBroker(t)
	stores := []*streams.Store{open(t, b, streams.Config{}), open(t, b, streams.Config{})}
	p := pull(t, stores[0], "default")
	for round := range 5 {
		var mu sync.Mutex
		won := map[string]int{}
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				conflict := []millrace.UniqueConflict{millrace.UniqueReject, millrace.UniqueReturn}[i%2]
				h, err := stores[i/2%2].SubmitUnique(t.Context(), newTask(fmt.Sprintf("t%d-%d", round, i)), time.Time{}, millrace.Unique{Key: "k", OnConflict: conflict})
				taken, is := errors.AsType[*millrace.TakenError](err)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case is:
					won[taken.ID]++
				case err != nil:
					t.Error(err)
				default:
					won[h.ID]++
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("the key had %v", won)
		}
		if done := finishAll(t, stores[0], p); len(done) != 1 {
			t.Fatalf("%v was done", done)
		}
	}
}

// Whoever dies before any of its writes leaves a key that others can go on with, and
// what it was answered is done.
func TestUniqueDeath(t *testing.T) {
	for _, delay := range []time.Duration{0, 2 * time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				watcher := open(t, b, streams.Config{})
				movers, p := keepMoving(t, watcher), pull(t, watcher, "default")
				defer movers()
				for n := 0; ; n += broker.Step() {
					mortal := &broker.Mortal{Broker: b, Left: n}
					store, err := streams.Open(t.Context(), streams.Config{InProcess: mortal})
					u := millrace.Unique{Key: fmt.Sprint("k", n), OnConflict: millrace.UniqueReturn}
					first, second := fmt.Sprintf("a%d", n), fmt.Sprintf("b%d", n)
					var errFirst error
					if err == nil {
						_, errFirst = store.SubmitUnique(t.Context(), newTask(first), time.Now().Add(delay), u)
						store.Close()
					}
					h, err2 := watcher.SubmitUnique(t.Context(), newTask(second), time.Now().Add(delay), u)
					if err2 != nil {
						t.Fatal(err2)
					}
					if err == nil && errFirst == nil && h.ID != first {
						t.Fatalf("%s was accepted, and then %s", first, h.ID)
					}
					time.Sleep(5 * time.Second)
					done := finishAll(t, watcher, p)
					if len(done) != 1 || done[h.ID] == "" {
						t.Fatalf("dead before write %d: %v was done, and %s accepted", n, done, h.ID)
					}
					if !mortal.Died() {
						if t.Logf("it died before each of %d writes", n); n < 2 {
							t.Error("there must be more")
						}
						return
					}
				}
			})
		})
	}
}

// keepMoving has what is due moved, until the function that it returns is called.
func keepMoving(t *testing.T, store *streams.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var moving sync.WaitGroup
	for shard := range store.Shards() {
		p, err := store.PullDue(shard)
		if err != nil {
			t.Fatal(err)
		}
		moving.Go(func() {
			for ctx.Err() == nil {
				due, err := p.Next(ctx, 100)
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if err := store.Move(context.WithoutCancel(ctx), due); err != nil {
					t.Error(err)
				}
			}
			_ = p.Close()
		})
	}
	return func() {
		cancel()
		moving.Wait()
	}
}

// A debounced task runs once, with what came last, so long after it.
func TestDebounce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		defer keepMoving(t, store)()
		p := pull(t, store, "default")
		u := millrace.Unique{Key: "k", While: millrace.WhilePending, OnConflict: millrace.UniqueReplace}
		for i := range 5 {
			h, err := store.SubmitUnique(t.Context(), uniqueTask(fmt.Sprint("t", i), i), time.Now().Add(5*time.Second), u)
			if err != nil || h.ID != "t0" || h.Replaced != (i > 0) || h.State != millrace.Scheduled {
				t.Fatal(h, err)
			}
			time.Sleep(3 * time.Second)
		}
		if done := finishAll(t, store, p); len(done) != 0 {
			t.Fatalf("%v came early", done)
		}
		time.Sleep(5 * time.Second)
		if done := finishAll(t, store, p); len(done) != 1 || done["t0"] != `{"n":4}` {
			t.Fatalf("%v was done", done)
		}
	})
}

// A task whose id something else has is refused, and does not keep its key.
func TestUniqueIDTaken(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Hour} {
		t.Run(delay.String(), func(t *testing.T) {
			store := open(t, newBroker(t), streams.Config{})
			at := time.Now().Add(delay)
			for n, key := range []string{"k", "other", "other"} {
				u := millrace.Unique{Key: key, While: millrace.WhileFor, For: time.Hour}
				_, err := store.SubmitUnique(t.Context(), uniqueTask("a", n), at, u)
				if _, is := errors.AsType[*millrace.TakenError](err); (n > 0) != errors.Is(err, millrace.ErrConflict) || is {
					t.Fatal(n, err)
				}
			}
			if h, err := store.SubmitUnique(t.Context(), uniqueTask("a", 0), at, millrace.Unique{Key: "k"}); err != nil || h.ID != "a" || !h.Replayed {
				t.Fatal(h, err)
			}
			if h, err := store.SubmitUnique(t.Context(), uniqueTask("b", 0), at, millrace.Unique{Key: "other"}); err != nil || h.ID != "b" {
				t.Fatal("the key was kept:", h, err)
			}
		})
	}
}
