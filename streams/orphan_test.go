package streams_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
)

// purge removes what lies on a subject, as an operator may.
func purge(t *testing.T, js jetstream.JetStream, stream, subject string) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err == nil {
		err = s.Purge(t.Context(), jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func purgeWaiting(t *testing.T, js jetstream.JetStream, id string) {
	t.Helper()
	purge(t, js, fmt.Sprintf("SCHEDULES_%d", streams.ShardOf(id)), ">")
}

// wantSwept fails the test unless a sweep brings back so many, and gives up so many.
func wantSwept(t *testing.T, o *streams.Orphans, back, lost uint64) {
	t.Helper()
	gotBack, gotLost, err := o.Sweep(t.Context())
	if err != nil || gotBack != back || gotLost != lost {
		t.Errorf("swept %d and %d, %v, want %d and %d", gotBack, gotLost, err, back, lost)
	}
}

// orphaned is a task whose worker has gone, before somebody touched a stream.
type orphaned struct {
	name string
	// leave is what its worker has done last.
	leave func(t *testing.T, store *streams.Store, d *streams.Delivery) error
	// state is that in which it comes again.
	state millrace.State
}

var orphans = []orphaned{
	{"parked", func(t *testing.T, store *streams.Store, d *streams.Delivery) error {
		return store.Retry(t.Context(), d, retrying(d, time.Now().Add(time.Minute)), time.Minute)
	}, millrace.Retrying},
	{"snoozed", func(t *testing.T, store *streams.Store, d *streams.Delivery) error {
		r := recordOf(d, millrace.Scheduled)
		r.NextAt = time.Now().Add(time.Minute)
		return store.Retry(t.Context(), d, r, time.Minute)
	}, millrace.Scheduled},
	{"handed back", func(t *testing.T, store *streams.Store, d *streams.Delivery) error {
		return store.HandBack(t.Context(), d, recordOf(d, millrace.Pending))
	}, millrace.Pending},
	{"checked out", func(t *testing.T, store *streams.Store, d *streams.Delivery) error {
		return store.CheckOut(t.Context(), d, recordOf(d, millrace.Running))
	}, millrace.Running},
}

// Of a task that is taken off its queue somebody purges what waits. It comes back, once.
func TestOrphansComeBack(t *testing.T) {
	for _, o := range orphans {
		t.Run(o.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store, js := open(t, b, streams.Config{}), inspect(t, b)
				one, two := store.Orphans(), open(t, b, streams.Config{}).Orphans()
				submit(t, store, newTask("t"))
				p := pull(t, store, "default")
				first := take(t, p, 1)[0]
				if err := o.leave(t, store, first); err != nil {
					t.Fatal(err)
				}
				purgeWaiting(t, js, "t")
				wantNothing(t, p, 4*time.Minute)
				wantSwept(t, one, 0, 0) // it is not old enough
				wantSwept(t, one, 0, 0)
				time.Sleep(10 * time.Minute)
				wantSwept(t, one, 0, 0) // that was the first look
				wantSwept(t, two, 0, 0)
				wantState(t, store, "t", o.state)
				time.Sleep(10 * time.Minute)
				wantSwept(t, one, 1, 0)
				wantSwept(t, two, 0, 0)
				d := take(t, p, 1)[0]
				if d.Record == nil || d.Record.State != o.state || len(d.Record.Attempts) != 1 || string(d.Task.Args) != `{"n":1}` {
					t.Errorf("it comes as %+v with %+v", d.Task, d.Record)
				}
				time.Sleep(10 * time.Second)
				if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), 3*time.Hour); err != nil {
					t.Error(err)
				}
				for range 3 {
					time.Sleep(10 * time.Minute)
					wantSwept(t, one, 0, 0)
					wantSwept(t, two, 0, 0)
				}
				wantNothing(t, p, time.Minute)
				wantState(t, store, "t", millrace.Succeeded)
			})
		})
	}
}

// If the queue's log is purged as well, its args are gone, and it is among the dead.
func TestOrphansAreGivenUp(t *testing.T) {
	for _, o := range append(orphans, orphaned{"marked", func(t *testing.T, store *streams.Store, d *streams.Delivery) error {
		return store.Note(t.Context(), d, recordOf(d, millrace.Running))
	}, millrace.Running}) {
		t.Run(o.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store, js := open(t, b, streams.Config{}), inspect(t, b)
				sweeper := store.Orphans()
				submit(t, store, newTask("t"))
				p := pull(t, store, "default")
				if err := o.leave(t, store, take(t, p, 1)[0]); err != nil {
					t.Fatal(err)
				}
				purgeWaiting(t, js, "t")
				purge(t, js, "TASKS_default", ">")
				time.Sleep(10 * time.Minute)
				wantSwept(t, sweeper, 0, 0)
				wantState(t, store, "t", o.state)
				time.Sleep(10 * time.Minute)
				wantSwept(t, sweeper, 0, 1)
				f := wantState(t, store, "t", millrace.Failed)
				if !strings.HasPrefix(f.Record.Error, "lost: ") || f.Record.FinishedAt.IsZero() || f.Record.Parked != 0 || len(f.Record.Attempts) != 1 {
					t.Errorf("it ends as %+v", f.Record)
				}
				var dead streams.Dead
				if err := json.Unmarshal(lastMessage(t, js, "DEAD", "dead.default.demo-echo.t").Data, &dead); err != nil || dead.Record.Error != f.Record.Error || dead.Task.ID != "t" {
					t.Errorf("dead is %+v, %v", dead, err)
				}
				wantSwept(t, sweeper, 0, 0)
				wantNothing(t, p, time.Minute)
			})
		})
	}
}

// Somebody replaces a log by a new one, whose numbers start anew.
func TestOrphansOfAnOlderLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		fill(t, store, 10)
		for _, d := range take(t, p, 10) {
			if err := store.Note(t.Context(), d, recordOf(d, millrace.Running)); err != nil {
				t.Fatal(err)
			}
		}
		if err := js.DeleteStream(t.Context(), "TASKS_default"); err != nil {
			t.Fatal(err)
		}
		again := open(t, b, streams.Config{})
		submit(t, again, newTask("new"))
		sweeper := again.Orphans()
		for _, lost := range []uint64{0, 10, 0} {
			time.Sleep(10 * time.Minute)
			wantSwept(t, sweeper, 0, lost)
		}
		wantState(t, again, "new", millrace.Pending)
	})
}

// A full queue has room for what comes back, which takes its own place there.
func TestOrphansOfAFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{MaxQueueBytes: 1 << 20}), inspect(t, b)
		p := pull(t, store, "default")
		submit(t, store, newTask("t"))
		d := take(t, p, 1)[0]
		if err := store.Retry(t.Context(), d, retrying(d, time.Now().Add(time.Minute)), time.Minute); err != nil {
			t.Fatal(err)
		}
		purgeWaiting(t, js, "t")
		var err error
		for i := 0; err == nil; i++ {
			err = store.Submit(t.Context(), newTask(fmt.Sprintf("t%d", i)))
		}
		if !errors.Is(err, millrace.ErrQueueFull) {
			t.Fatal(err)
		}
		sweeper := store.Orphans()
		for _, back := range []uint64{0, 1, 0} {
			time.Sleep(10 * time.Minute)
			wantSwept(t, sweeper, back, 0)
		}
	})
}

// A task that seems lost is called off, or goes on, before it is looked at again.
func TestSuspectsThatGoOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		var all []*streams.Delivery
		for i := range 4 {
			submit(t, store, newTask(fmt.Sprintf("t%d", i)))
			d := take(t, p, 1)[0]
			if err := store.CheckOut(t.Context(), d, recordOf(d, millrace.Running)); err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
			purgeWaiting(t, js, d.Task.ID)
			if i != 1 {
				purge(t, js, "TASKS_default", "tasks.default.*."+d.Task.ID)
			}
		}
		sweeper := store.Orphans()
		time.Sleep(10 * time.Minute)
		wantSwept(t, sweeper, 0, 0)
		// Their worker was frozen, and wakes up.
		if _, err := store.Cancel(t.Context(), "t0"); err != nil {
			t.Fatal(err)
		}
		for i, err := range []error{
			store.Note(t.Context(), all[1], recordOf(all[1], millrace.Running)),
			store.Finish(t.Context(), all[2], recordOf(all[2], millrace.Succeeded), time.Hour),
			store.Retry(t.Context(), all[3], retrying(all[3], time.Now().Add(time.Hour)), time.Hour),
		} {
			if err != nil && (i != 2 || !errors.Is(err, millrace.ErrConflict)) {
				t.Error(i, err)
			}
		}
		wantSwept(t, sweeper, 0, 0)
		for i, want := range []millrace.State{millrace.Cancelled, millrace.Running, millrace.Succeeded, millrace.Retrying} {
			wantState(t, store, fmt.Sprintf("t%d", i), want)
		}
		if n := streamInfo(t, js, "DEAD").State.Msgs; n != 0 {
			t.Errorf("%d are dead", n)
		}
	})
}

// Whatever a task is at, and for however long, as long as something brings it on it is
// let alone. Nor does anything that somebody has written among the records matter.
func TestTheLivingAreNoOrphans(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		begin := func(id string) *streams.Delivery {
			submit(t, store, newTask(id))
			d := take(t, p, 1)[0]
			if d.Task.ID != id {
				t.Fatalf("%s came, want %s", d.Task.ID, id)
			}
			return d
		}
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		park := func(d *streams.Delivery, wait time.Duration) {
			do(store.Retry(t.Context(), d, retrying(d, time.Now().Add(wait)), wait))
		}
		// Due, and moved once, but not delivered: nobody asks for it.
		park(begin("moved"), 6*time.Second)
		move(t, store, due(t, store, 1))
		// Their queue is paused, and behind them is a backlog.
		bulk := pull(t, store, "bulk")
		for _, id := range []string{"paused1", "paused2"} {
			task := newTask(id)
			task.Queue = "bulk"
			submit(t, store, task)
			d := take(t, bulk, 1)[0]
			park(d, 6*time.Second)
			move(t, store, due(t, store, 1))
		}
		do(bulk.Close())
		consumer, err := js.Stream(t.Context(), "TASKS_bulk")
		do(err)
		_, err = consumer.PauseConsumer(t.Context(), "workers", time.Now().Add(24*time.Hour))
		do(err)
		// From here on nobody moves what is due.
		moved := take(t, p, 1)[0]
		do(store.Note(t.Context(), moved, recordOf(moved, millrace.Retrying)))
		do(moved.Release(10 * time.Hour)) // as one that is too large to be parked
		do(store.SubmitAt(t.Context(), newTask("later"), time.Now().Add(time.Minute)))
		held := begin("runs")
		do(store.Note(t.Context(), held, recordOf(held, millrace.Running)))
		out := begin("checked-out")
		do(store.CheckOut(t.Context(), out, recordOf(out, millrace.Running)))
		dead := begin("worker-died")
		do(store.CheckOut(t.Context(), dead, recordOf(dead, millrace.Running)))
		park(begin("overdue"), 10*time.Second)
		park(begin("tomorrow"), 24*time.Hour)
		do(store.HandBack(t.Context(), begin("handed-back"), recordOf(&streams.Delivery{Task: newTask("handed-back")}, millrace.Pending)))
		fresh := begin("fresh")
		do(store.Retry(t.Context(), fresh, retrying(fresh, time.Now().Add(4*time.Second)), 4*time.Second))
		done := begin("done")
		do(store.Finish(t.Context(), done, recordOf(done, millrace.Succeeded), 24*time.Hour))
		for id, value := range map[string]string{
			"broken": "{", "stranger": `{"id":"done","state":"running"}`, "*": `{"id":"*","kind":"demo.echo","queue":"default","state":"running"}`,
			"kind": `{"id":"kind","kind":">","queue":"default","state":"running"}`, "elsewhere": `{"id":"elsewhere","kind":"a","queue":"unknown","state":"running"}`,
		} {
			_, err := js.Publish(t.Context(), "$KV.results."+id, []byte(value))
			do(err)
		}
		logs := func() (n uint64) {
			for _, name := range []string{"TASKS_default", "TASKS_bulk", "DEAD", "KV_results"} {
				n += streamInfo(t, js, name).State.LastSeq
			}
			return n
		}
		before := logs()
		patient, impatient := store.Orphans(), store.Orphans()
		impatient.Impatient()
		for i := range 361 { // an hour
			do(store.Extend(t.Context(), []*streams.Delivery{held}))
			do(store.ExtendCheckedOut(t.Context(), out))
			wantSwept(t, impatient, 0, 0)
			if i%60 == 0 {
				wantSwept(t, patient, 0, 0)
			}
			time.Sleep(10 * time.Second)
		}
		if after := logs(); after != before {
			t.Errorf("%d things were written", after-before)
		}
	})
}

// What comes back is not early, though nothing waits of it.
func TestOrphansAreNotEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		submit(t, store, newTask("t"))
		d := take(t, pull(t, store, "default"), 1)[0]
		due := time.Now().Add(time.Hour)
		if err := store.Retry(t.Context(), d, retrying(d, due), time.Hour); err != nil {
			t.Fatal(err)
		}
		purgeWaiting(t, js, "t")
		sweeper := store.Orphans()
		for time.Until(due) > 0 {
			wantSwept(t, sweeper, 0, 0)
			time.Sleep(10 * time.Minute)
		}
		for _, back := range []uint64{0, 0, 1} {
			wantSwept(t, sweeper, back, 0)
			time.Sleep(10 * time.Minute)
		}
	})
}

// What has changed its place in the log since the first look has gone on since then.
func TestSuspectsThatWereMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		submit(t, store, newTask("t"))
		d := take(t, p, 1)[0]
		if err := store.Retry(t.Context(), d, retrying(d, time.Now().Add(time.Minute)), time.Minute); err != nil {
			t.Fatal(err)
		}
		purgeWaiting(t, js, "t")
		sweeper := store.Orphans()
		time.Sleep(10 * time.Minute)
		wantSwept(t, sweeper, 0, 0)
		m := lastMessage(t, js, "TASKS_default", "tasks.default.demo-echo.t")
		if _, err := js.Publish(t.Context(), m.Subject, m.Data); err != nil {
			t.Fatal(err)
		}
		if err := take(t, p, 1)[0].Ack(); err != nil {
			t.Fatal(err)
		}
		for _, back := range []uint64{0, 1, 0} {
			time.Sleep(10 * time.Minute)
			wantSwept(t, sweeper, back, 0)
		}
	})
}

// One sweep looks at a part of the records only. Together they look at all.
func TestOrphansAmongMany(t *testing.T) {
	b := startBroker(t, time.Minute)
	store, js := open(t, b, streams.Config{Async: true}), inspect(t, b)
	const n = 3000
	publish := func(id string, state millrace.State) {
		value := fmt.Sprintf(`{"id":%q,"kind":"demo.echo","queue":"default","state":%q}`, id, state)
		if _, err := js.Publish(t.Context(), "$KV.results."+id, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	publish("first", millrace.Running)
	for i := range n {
		publish(fmt.Sprintf("t%d", i), millrace.Succeeded)
	}
	publish("last", millrace.Retrying)
	sweeper := store.Orphans()
	sweeper.Impatient()
	sweeper.Modest(2000)
	for i, c := range []struct{ lost, next uint64 }{{0, 2001}, {1, 1}, {1, 2002}} {
		wantSwept(t, sweeper, 0, c.lost)
		if next := sweeper.Next(); next != c.next {
			t.Errorf("after %d sweeps it goes on at %d, want %d", i+1, next, c.next)
		}
	}
	wantState(t, store, "first", millrace.Failed)
	wantState(t, store, "last", millrace.Failed)
}
