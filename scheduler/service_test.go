package scheduler_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

const late = 1500 * time.Millisecond

func every(name string, period time.Duration) millrace.Schedule {
	return millrace.Schedule{Name: name, Kind: "k." + name, Every: millrace.Duration(period)}
}

// Every form fires in the second that it says, in that second's company.
func TestFire(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		run(t, store, scheduler.Config{})
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		ten := every("ten", 10*time.Second)
		cron := millrace.Schedule{Name: "cron", Kind: "k.cron", Cron: "7,27 * * * * *", Args: []byte(`{"a":1}`)}
		once := millrace.Schedule{Name: "once", Kind: "k.once", At: minute.Add(31*time.Second + 1)}
		put(t, book, ten)
		put(t, book, cron)
		put(t, book, once)
		var many []millrace.Schedule
		for i := range 40 {
			many = append(many, every(fmt.Sprintf("n%d", i), 30*time.Second))
			put(t, book, many[i])
		}
		time.Sleep(time.Until(minute.Add(65 * time.Second)))
		wantFired(t, js, ten, late, times(minute.Add(10*time.Second), 10*time.Second, 6)...)
		wantFired(t, js, cron, late, minute.Add(7*time.Second), minute.Add(27*time.Second))
		wantFired(t, js, once, late, minute.Add(32*time.Second))
		for _, s := range many {
			wantFired(t, js, s, late, minute.Add(30*time.Second), minute.Add(60*time.Second))
		}

		e, err := book.Get(t.Context(), "cron")
		if err != nil || !e.LastAt.Equal(minute.Add(27*time.Second)) || !e.NextAt.Equal(minute.Add(67*time.Second)) || e.LastTask != cron.TaskID(e.LastAt) {
			t.Errorf("cron: %+v, %v", e, err)
		}
		if _, err := book.Get(t.Context(), "once"); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("what is due once is still there: %v", err)
		}
		if all, err := book.List(t.Context()); err != nil || len(all) != 42 {
			t.Errorf("%d schedules are left, %v", len(all), err)
		}
	})
}

// What is due twice is submitted once, whoever sees it.
func TestFiredTwice(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		for range 3 {
			run(t, open(t, b, streams.Config{}), scheduler.Config{})
		}
		s, minute := every("s", 10*time.Second), start.Truncate(time.Minute)
		put(t, scheduler.NewBook(store), s)
		for range 5 {
			time.Sleep(10 * time.Second)
			m, _ := message(t, js, "due", "s")
			if m == nil {
				continue // it was removed already
			}
			for range 3 {
				if _, err := js.Publish(t.Context(), m.Subject, m.Data); err != nil {
					t.Fatal(err)
				}
			}
		}
		wantFired(t, js, s, late, times(minute.Add(10*time.Second), 10*time.Second, 5)...)
	})
}

// What was missed is made up for once, whoever was away: the server, or all who
// schedule.
func TestCatchUp(t *testing.T) {
	for _, c := range []struct {
		name string
		away func(t *testing.T, b *broker.Broker, stop func(), store *streams.Store)
	}{
		{"server", func(t *testing.T, b *broker.Broker, stop func(), store *streams.Store) {
			b.Stop()
			time.Sleep(35 * time.Second)
			b.Start()
		}},
		{"scheduler", func(t *testing.T, b *broker.Broker, stop func(), store *streams.Store) {
			stop()
			time.Sleep(35 * time.Second)
			run(t, store, scheduler.Config{})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := soon()
			broker.Bubble(t, start, func(t *testing.T) {
				b := newBroker(t)
				store, js := open(t, b, streams.Config{}), inspect(t, b)
				stop := run(t, store, scheduler.Config{})
				s, minute := every("s", 10*time.Second), start.Truncate(time.Minute)
				put(t, scheduler.NewBook(store), s)
				time.Sleep(22 * time.Second) // :25
				c.away(t, b, stop, store)    // until :60
				time.Sleep(25 * time.Second)
				wantFired(t, js, s, 33*time.Second,
					minute.Add(10*time.Second), minute.Add(20*time.Second), minute.Add(30*time.Second), minute.Add(70*time.Second), minute.Add(80*time.Second))
			})
		})
	}
}

func TestOverlap(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		run(t, store, scheduler.Config{})
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		skip, allow := every("skip", 10*time.Second), every("allow", 10*time.Second)
		skip.Overlap, allow.Overlap, skip.Queue = millrace.OverlapSkip, millrace.OverlapAllow, "default"
		put(t, book, skip)
		put(t, book, allow)
		time.Sleep(30 * time.Second) // :33, and nobody works
		first := skip.TaskID(minute.Add(10 * time.Second))
		if _, err := store.Cancel(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if e, err := book.Get(t.Context(), "skip"); err != nil || e.Skipped != 2 || e.LastTask != first || !e.LastAt.Equal(minute.Add(30*time.Second)) {
			t.Errorf("%+v, %v", e, err)
		}
		time.Sleep(20 * time.Second) // :53
		var got []time.Time
		stream, err := js.Stream(t.Context(), "TASKS_default")
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
			if m, err := stream.GetMsg(t.Context(), seq); err == nil && m.Subject == "tasks.default.k-skip."+skip.TaskID(m.Time) {
				got = append(got, m.Time.Truncate(time.Second))
			}
		}
		if len(got) != 1 || !got[0].Equal(minute.Add(40*time.Second)) {
			t.Errorf("after the first was cancelled, there came %v", got)
		}
		n := 0
		for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
			if m, err := stream.GetMsg(t.Context(), seq); err == nil && m.Subject == "tasks.default.k-allow."+allow.TaskID(m.Time) {
				n++
			}
		}
		if n != 5 {
			t.Errorf("%d of 5 came of the one that may overlap", n)
		}
	})
}

// A schedule that is replaced or cancelled does not fire any more, though it is armed,
// or its time has come and nobody has dealt with it.
func TestReplaceAndCancel(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		change := func(round string) (replaced millrace.Schedule) {
			replaced = every("replaced-"+round, 40*time.Second)
			replaced.Kind = "k." + round
			put(t, book, replaced)
			if err := book.Cancel(t.Context(), "cancelled-"+round); err != nil {
				t.Error(err)
			}
			if err := book.Cancel(t.Context(), "cancelled-"+round); !errors.Is(err, millrace.ErrNotFound) {
				t.Errorf("cancelled again: %v", err)
			}
			return replaced
		}
		for _, round := range []string{"armed", "fired"} {
			put(t, book, millrace.Schedule{Name: "replaced-" + round, Kind: "old", Every: millrace.Duration(10 * time.Second)})
			put(t, book, millrace.Schedule{Name: "cancelled-" + round, Kind: "old", Every: millrace.Duration(10 * time.Second)})
		}
		armed := change("armed")
		time.Sleep(10 * time.Second) // :13
		if m, _ := message(t, js, "due", "replaced-fired"); m == nil {
			t.Error("it has not fired")
		}
		fired := change("fired")
		run(t, store, scheduler.Config{})
		time.Sleep(20 * time.Second)
		if got := submissions(t, js, "default"); len(got) > 0 {
			t.Errorf("there came %+v", got)
		}
		time.Sleep(60 * time.Second) // :93
		for _, s := range []millrace.Schedule{armed, fired} {
			recurrence := parse(t, s)
			first, _ := recurrence.Next(minute.Add(13 * time.Second))
			due := []time.Time{first}
			if second := first.Add(40 * time.Second); second.Before(minute.Add(92 * time.Second)) {
				due = append(due, second)
			}
			wantFired(t, js, s, late, due...)
		}
	})
}

func TestRunNow(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		book := scheduler.NewBook(store)
		put(t, book, every("s", time.Hour))
		for range 2 {
			id := millrace.NewID()
			if _, err := book.Run(t.Context(), "s", id); err != nil {
				t.Fatal(err)
			}
			if _, err := book.Run(t.Context(), "s", id); !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("the same id again: %v", err)
			}
		}
		if got := submissions(t, js, "default"); len(got) != 2 || got[0].Kind != "k.s" {
			t.Errorf("submitted: %+v", got)
		}
		if _, err := book.Run(t.Context(), "none", millrace.NewID()); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("run what is not there: %v", err)
		}
	})
}

// Whatever is armed, the janitor sees to it that it is what the entry says. What is not
// an entry stands in nobody's way.
func TestMend(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		for _, value := range []string{"{", "{}", `{"name":"other"}`} {
			if _, err := js.Publish(t.Context(), "$KV.schedules.bad", []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		missing, stale := every("missing", 20*time.Second), every("stale", 20*time.Second)
		put(t, book, missing)
		put(t, book, stale)
		m, stream := message(t, js, "schedules", "missing")
		if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(m.Subject)); err != nil {
			t.Fatal(err)
		}
		if err := store.Arm(t.Context(), streams.Fired{Name: "stale", Generation: "before", Due: minute.Add(24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		run(t, store, scheduler.Config{Tidy: 5 * time.Second})
		time.Sleep(40 * time.Second)
		wantFired(t, js, missing, late, minute.Add(20*time.Second), minute.Add(40*time.Second))
		wantFired(t, js, stale, late, minute.Add(20*time.Second), minute.Add(40*time.Second))

		if _, err := book.Get(t.Context(), "bad"); err == nil || errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("a bad entry: %v", err)
		}
		if all, err := book.List(t.Context()); err != nil || len(all) != 2 {
			t.Errorf("%d entries, %v", len(all), err)
		}
		put(t, book, every("bad", time.Hour))
		if err := book.Cancel(t.Context(), "bad"); err != nil {
			t.Error(err)
		}
	})
}

// The janitor brings back a task of which somebody has purged what waited.
func TestLostTasksComeBack(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		task := millrace.RawTask{ID: "t", Kind: "k", Queue: "default"}
		if err := store.Submit(t.Context(), task); err != nil {
			t.Fatal(err)
		}
		p, err := store.Pull("default")
		if err != nil {
			t.Fatal(err)
		}
		next := func(patience time.Duration) *streams.Delivery {
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
				if got, err := p.Next(t.Context(), 1); err != nil {
					t.Fatal(err)
				} else if len(got) > 0 {
					return got[0]
				}
			}
			t.Fatalf("nothing came in %s", patience)
			return nil
		}
		r := millrace.Record{ID: "t", Kind: "k", Queue: "default", State: millrace.Retrying, Error: "no luck"}
		if err := store.Retry(t.Context(), next(time.Minute), r, time.Minute); err != nil {
			t.Fatal(err)
		}
		for shard := range store.Shards() {
			stream, err := js.Stream(t.Context(), fmt.Sprintf("SCHEDULES_%d", shard))
			if err == nil {
				err = stream.Purge(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		run(t, store, scheduler.Config{})
		if d := next(31 * time.Minute); d.Record == nil || d.Record.State != millrace.Retrying {
			t.Errorf("it comes with %+v", d.Record)
		}
	})
}

// What goes to a full queue waits until there is room. What goes to another does not.
func TestFullQueue(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{MaxQueueBytes: 1 << 20}), inspect(t, b)
		run(t, store, scheduler.Config{Tidy: time.Second, Retention: streams.Retention{Tasks: 1, Age: time.Second}})
		minute := start.Truncate(time.Minute)
		large := make([]byte, 200<<10)
		for i := range large {
			large[i] = '1'
		}
		for err, i := error(nil), 0; !errors.Is(err, millrace.ErrQueueFull); i++ {
			args := large
			if err != nil || i > 4 {
				args = []byte("1")
			}
			err = store.Submit(t.Context(), millrace.RawTask{ID: fmt.Sprintf("full%d", i), Kind: "large", Queue: "bulk", Args: args})
		}
		full, other := every("full", 10*time.Second), every("other", 10*time.Second)
		full.Queue = "bulk"
		book := scheduler.NewBook(store)
		put(t, book, full)
		put(t, book, other)
		for i := range 20 {
			task := millrace.RawTask{ID: fmt.Sprintf("later%d", i), Kind: "k.later", Queue: "bulk"}
			if err := store.SubmitAt(t.Context(), task, time.Now().Add(5*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(30 * time.Second) // :33
		wantFired(t, js, other, late, times(minute.Add(10*time.Second), 10*time.Second, 3)...)

		p, err := store.Pull("bulk")
		if err != nil {
			t.Fatal(err)
		}
		came := map[string]int{}
		for time.Since(minute) < 52*time.Second {
			got, err := p.Next(t.Context(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range got {
				came[d.Task.ID]++
				r := millrace.Record{ID: d.Task.ID, Kind: d.Task.Kind, Queue: "bulk", State: millrace.Succeeded}
				if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
					t.Error(err)
				}
			}
		}
		for i := range 20 {
			if id := fmt.Sprintf("later%d", i); came[id] != 1 {
				t.Errorf("%s came %d times", id, came[id])
			}
		}
		if came[full.TaskID(minute.Add(10*time.Second))] != 1 || came[full.TaskID(minute.Add(50*time.Second))] != 1 {
			t.Errorf("of the schedule for the full queue there came %v", came)
		}
	})
}

// What is due at once is moved at a rate that leaves the broker to others as well.
func TestMoveRate(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		run(t, store, scheduler.Config{MoveRate: 100})
		at := time.Now().Add(10 * time.Second)
		var submitting sync.WaitGroup
		for i := range 1000 {
			submitting.Go(func() {
				task := millrace.RawTask{ID: fmt.Sprintf("t%d", i), Kind: "k", Queue: "default"}
				if err := store.SubmitAt(t.Context(), task, at); err != nil {
					t.Error(err)
				}
			})
		}
		submitting.Wait()
		for _, c := range []struct {
			after      time.Duration
			from, upTo uint64
		}{{-time.Millisecond, 0, 0}, {5 * time.Second, 300, 900}, {13 * time.Second, 1000, 1000}} {
			time.Sleep(time.Until(at.Add(c.after)))
			stream, err := js.Stream(t.Context(), "TASKS_default")
			if err != nil {
				t.Fatal(err)
			}
			if n := stream.CachedInfo().State.Msgs; n < c.from || n > c.upTo {
				t.Errorf("after %s %d are moved, want %d to %d", c.after, n, c.from, c.upTo)
			}
		}
	})
}
