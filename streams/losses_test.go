package streams_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

func openLossy(t *testing.T, b *broker.Broker) (*streams.Store, *broker.Lossy) {
	l := &broker.Lossy{Broker: b}
	store, err := streams.Open(t.Context(), streams.Config{InProcess: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store, l
}

// idsIn are n ids that wait in that shard and drawer.
func idsIn(shard int, drawer string, n int) (ids []string) {
	for i := 0; len(ids) < n; i++ {
		if id := fmt.Sprintf("r%s-%d", drawer, i); streams.ShardOf(id) == shard && streams.DrawerOf(id) == drawer {
			ids = append(ids, id)
		}
	}
	return ids
}

// moveFor moves what is due in a shard for as long as that, and returns how much that
// was. What cannot be moved is tried again.
func moveFor(t *testing.T, store *streams.Store, shard, room int, during time.Duration) (n int) {
	t.Helper()
	p := pullDue(t, store, shard)
	for end := time.Now().Add(during); time.Now().Before(end); {
		got, err := p.Next(t.Context(), room)
		if err != nil {
			time.Sleep(time.Second)
			continue
		}
		n += len(got)
		_ = store.Move(t.Context(), got)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	return n
}

// takeDue waits for the first things that are due.
func takeDue(t *testing.T, p *streams.DuePuller, room int) []*streams.Due {
	t.Helper()
	for {
		got, err := p.Next(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 {
			return got
		}
	}
}

// What cannot be read, and cannot be removed at once either, costs its neighbours
// nothing.
func TestUnreadableInASecond(t *testing.T) {
	for _, room := range []int{2, 500} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store, l := openLossy(t, b)
				at := time.Now().Add(time.Minute).Truncate(time.Second)
				ids := idsIn(0, "04", 4)
				later(t, store, at, ids[0])
				js := inspect(t, b)
				bad := idsIn(0, "07", 1)[0]
				if _, err := js.Publish(t.Context(), fmt.Sprintf("waiting.0.07.%d.%s", at.Unix(), bad), []byte("{")); err != nil {
					t.Fatal(err)
				}
				for _, id := range ids[1:] {
					later(t, store, at, id)
				}
				once := true
				l.Lose(func(s string) bool {
					if once && strings.HasPrefix(s, "$JS.API.STREAM.MSG.DELETE") {
						once = false
						return true
					}
					return false
				})
				n := moveFor(t, store, 0, room, 3*time.Minute)
				if n != 4 {
					t.Errorf("moved %d of 4", n)
				}
			})
		})
	}
}

// The acknowledgement of a check-out gets lost: its worker has it all the same.
func TestCheckOutWithoutItsAcknowledgement(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store, l := openLossy(t, newBroker(t))
		submit(t, store, newTask("t"))
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		running := millrace.Record{ID: "t", Kind: d.Task.Kind, Queue: "default", State: millrace.Running}
		l.Lose(func(s string) bool { return strings.HasPrefix(s, "$JS.ACK.TASKS") })
		if err := store.CheckOut(t.Context(), d, running); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		l.Lose(nil)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for shard := range store.Shards() {
			wg.Go(func() {
				dp, _ := store.PullDue(shard)
				for ctx.Err() == nil {
					got, err := dp.Next(ctx, 100)
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					if len(got) > 0 {
						_ = store.Move(t.Context(), got)
					}
				}
				_ = dp.Close()
			})
		}
		start := time.Now()
		for time.Since(start) < 5*time.Minute {
			next := time.Now().Add(10 * time.Second)
			for time.Now().Before(next) {
				got, err := p.Next(t.Context(), 10)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range got {
					t.Errorf("after %s somebody else got %s while its worker has it and renews its lease", time.Since(start), g.Task.ID)
				}
			}
			if err := store.ExtendCheckedOut(t.Context(), d); err != nil {
				t.Fatalf("after %s: %v", time.Since(start), err)
			}
		}
		stop()
		wg.Wait()
	})
}

// What was moved is removed, though another task of its second cannot be.
func TestMovedBesideAnUnknownQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		other := open(t, b, streams.Config{Queues: []string{"default", "other"}})
		at := time.Now().Add(time.Minute).Truncate(time.Second)
		ids := idsIn(0, "04", 2)
		later(t, store, at, ids[0])
		u := newTask(ids[1])
		u.Queue = "other"
		if err := other.SubmitAt(t.Context(), u, at); err != nil {
			t.Fatal(err)
		}
		runs := 0
		p := pull(t, store, "default")
		for range 5 {
			moveFor(t, store, 0, 1, 10*time.Minute)
			got, err := p.Next(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range got {
				if d.Record != nil {
					_ = d.Ack()
					continue
				}
				runs++
				if err := store.Finish(t.Context(), d, millrace.Record{ID: d.Task.ID, Kind: d.Task.Kind, Queue: "default", State: millrace.Succeeded}, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(26 * time.Hour)
			if _, err := store.Trim(t.Context(), "default", streams.DefaultRetention()); err != nil {
				t.Fatal(err)
			}
			if _, err := store.SweepWaiting(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if runs != 1 {
			t.Errorf("%s ran %d times", ids[0], runs)
		}
	})
}

// A worker dies between the record and what waits, while the second that its task
// came from is still being moved.
func TestParkWhileItsSecondIsMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, l := openLossy(t, b)
		at := time.Now().Add(time.Minute).Truncate(time.Second)
		ids := idsIn(0, "04", 2)
		later(t, store, at, ids[0])
		later(t, store, at, ids[1])
		dp := pullDue(t, store, 0)
		move(t, store, takeDue(t, dp, 1))
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		// The worker dies before it writes what waits.
		l.Lose(func(s string) bool { return strings.HasPrefix(s, "waiting.") || strings.HasPrefix(s, "$JS.ACK.TASKS") })
		if err := store.Retry(t.Context(), d, retrying(d, time.Now().Add(time.Minute)), time.Minute); err == nil {
			t.Fatal("no error")
		}
		l.Lose(nil)
		// Another one gets it.
		for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
			got, err := p.Next(t.Context(), 10)
			if err != nil || len(got) > 0 {
				t.Fatal(len(got), err)
			}
		}
		// And the mover comes to the rest.
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			got, err := dp.Next(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			move(t, store, got)
		}
		_ = dp.Close()
		moveFor(t, store, 0, 100, 10*time.Minute)
		_, _ = store.SweepWaiting(t.Context())
		moveFor(t, store, 0, 100, 10*time.Minute)
		var came []string
		for _, d := range take(t, p, 1) {
			came = append(came, d.Task.ID)
		}
		got, _ := p.Next(t.Context(), 10)
		for _, d := range got {
			came = append(came, d.Task.ID)
		}
		if len(came) != 2 {
			t.Errorf("came %v of %v: %s is lost for ever, as %s", came, ids, ids[0], lookup(t, store, ids[0]).State)
		}
	})
}

// An orderly restart in the middle of a second does not delay the rest of it.
func TestRestartInASecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		at := time.Now().Add(time.Minute).Truncate(time.Second)
		ids := idsIn(0, "04", 2)
		later(t, store, at, ids...)
		dp := pullDue(t, store, 0)
		move(t, store, takeDue(t, dp, 1))
		if err := dp.Close(); err != nil {
			t.Fatal(err)
		}
		store.Close()
		b.Stop()
		b.Start()
		again := open(t, b, streams.Config{})
		start := time.Now()
		for n := 0; n == 0; {
			n = moveFor(t, again, 0, 100, time.Second)
		}
		if waited := time.Since(start); waited > 5*time.Second {
			t.Errorf("after an orderly restart the rest of a second that was due came after %s", waited)
		}
	})
}

// More than one look at a second that ends with nothing.
func TestLastDrawersEmpty(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, startBroker(t, time.Minute), streams.Config{})
		at := time.Now().Add(time.Minute).Truncate(time.Second)
		later(t, store, at, idsIn(0, "04", 550)...)
		later(t, store, at, idsIn(0, "64", 550)...)
		if n := moveFor(t, store, 0, 500, 10*time.Minute); n != 1100 {
			t.Errorf("moved %d of 1100 in 9 minutes", n)
		}
	})
}

// A mover dies before any of its writes, in the middle of a second.
func TestMoverDies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: 5 * time.Second})
		p := pull(t, store, "default")
		all := idsIn(0, "04", 400)
		for n := 0; ; n++ {
			ids := all[4*n : 4*n+4]
			submit(t, store, newTask(ids[3]))
			d := take(t, p, 1)[0]
			at := time.Now().Add(20 * time.Second).Truncate(time.Second)
			later(t, store, at, ids[:3]...)
			if err := store.Retry(t.Context(), d, retrying(d, at), 20*time.Second); err != nil {
				t.Fatal(err)
			}
			m := &broker.Mortal{Broker: b, Left: n}
			dying, err := streams.Open(t.Context(), streams.Config{InProcess: m, AckWait: 5 * time.Second, Timeout: time.Second})
			if err == nil {
				dp, err := dying.PullDue(0)
				for end := time.Now().Add(30 * time.Second); err == nil && time.Now().Before(end) && !m.Died(); {
					if got, err := dp.Next(t.Context(), 2); err == nil {
						_ = dying.Move(t.Context(), got)
					}
				}
				_ = dp.Close()
				dying.Close()
			}
			moveFor(t, store, 0, 2, 2*time.Minute)
			came := map[string]int{}
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
				got, err := p.Next(t.Context(), 10)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range got {
					came[d.Task.ID]++
					r := millrace.Record{ID: d.Task.ID, Kind: d.Task.Kind, Queue: "default", State: millrace.Succeeded}
					if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
						t.Error(err)
					}
				}
			}
			for _, id := range ids {
				if came[id] != 1 {
					t.Errorf("death before write %d: %s came %d times", n, id, came[id])
				}
			}
			if !m.Died() {
				t.Logf("%d writes", n)
				return
			}
		}
	})
}

// A task is cancelled after its second has come, and before it is moved.
func TestCancelBetweenListingAndMoving(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		at := time.Now().Add(time.Minute).Truncate(time.Second)
		ids := idsIn(0, "04", 4)
		later(t, store, at, ids...)
		dp := pullDue(t, store, 0)
		got := takeDue(t, dp, 2)
		if _, err := store.Cancel(t.Context(), ids[0]); err != nil { // handed out
			t.Fatal(err)
		}
		if _, err := store.Cancel(t.Context(), ids[3]); err != nil { // listed
			t.Fatal(err)
		}
		move(t, store, got)
		_ = dp.Close()
		moveFor(t, store, 0, 2, 2*time.Minute)
		p := pull(t, store, "default")
		run := map[string]int{}
		for range 3 {
			ds, err := p.Next(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				if d.Record == nil {
					run[d.Task.ID]++
				}
			}
		}
		if len(run) != 2 || run[ids[0]]+run[ids[3]] != 0 {
			t.Errorf("ran %v of %v", run, ids)
		}
		for _, id := range []string{ids[0], ids[3]} {
			wantState(t, store, id, millrace.Cancelled)
		}
	})
}

// Two have the same second, and one of them is frozen for a minute again and again.
func TestTwoMoversOfOneSecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, startBroker(t, time.Minute), streams.Config{})
		at := time.Now().Add(time.Minute).Truncate(time.Second)
		var ids []string
		for i := 0; len(ids) < 2500; i++ {
			if id := fmt.Sprintf("p%d", i); streams.ShardOf(id) == 0 {
				ids = append(ids, id)
			}
		}
		later(t, store, at, ids...)
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				p, _ := store.PullDue(0)
				for end := time.Now().Add(20 * time.Minute); time.Now().Before(end); {
					got, err := p.Next(t.Context(), 500)
					if err != nil {
						time.Sleep(time.Second)
					}
					if i == 0 && len(got) > 0 {
						time.Sleep(time.Minute)
					}
					_ = store.Move(t.Context(), got)
				}
				_ = p.Close()
			})
		}
		wg.Wait()
		p := pull(t, store, "default")
		came := map[string]int{}
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); { // no time passes while some come
			ds, err := p.Next(t.Context(), 500)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				came[d.Task.ID]++
				_ = d.Ack()
			}
		}
		for _, id := range ids {
			if came[id] != 1 {
				t.Errorf("%s came %d times", id, came[id])
			}
		}
	})
}

// A task waits anew, and its log has forgotten it, while its old second comes again.
func TestWaitingAnewBesideAnUnknownQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		other := open(t, b, streams.Config{Queues: []string{"default", "other"}})
		at := time.Now().Add(time.Minute).Truncate(time.Second)
		ids := idsIn(0, "04", 2)
		later(t, store, at, ids[0])
		u := newTask(ids[1])
		u.Queue = "other"
		if err := other.SubmitAt(t.Context(), u, at); err != nil {
			t.Fatal(err)
		}
		moveFor(t, store, 0, 1, 62*time.Second)
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		next := time.Now().Add(time.Hour)
		if err := store.Retry(t.Context(), d, retrying(d, next), time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := store.Trim(t.Context(), "default", streams.Retention{}); err != nil {
			t.Fatal(err)
		}
		moveFor(t, store, 0, 1, 2*time.Minute)
		got, err := p.Next(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			t.Errorf("%s came %s early", d.Task.ID, time.Until(next))
		}
	})
}

// An alarm that is lost, or rings before what is written for its second, costs a minute
// or two.
func TestAlarmsThatFail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		defer moving(t, store)()
		at := time.Now().Add(time.Minute).Truncate(time.Second)
		later(t, store, at, "lost")
		shard := streams.ShardOf("lost")
		early := idsIn(shard, "00", 1)[0]
		for _, stage := range []string{"schedules", "due"} {
			stream, err := js.Stream(t.Context(), fmt.Sprintf("SCHEDULES_%d", shard))
			if err == nil {
				err = stream.Purge(t.Context(), jetstream.WithPurgeSubject(fmt.Sprintf("%s.%d.second.*", stage, shard)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		later(t, store, at, early)
		for range 8 {
			time.Sleep(30 * time.Second)
			if err := store.RingOverdue(t.Context()); err != nil {
				t.Error(err)
			}
		}
		wantState(t, store, "lost", millrace.Pending)
		wantState(t, store, early, millrace.Pending)
	})
}
