package streams_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"millrace"
	"millrace/streams"
)

func TestRetention(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		for i := range 10 { // the last one is ten minutes old, the first a hundred
			submit(t, store, newTask(fmt.Sprintf("t%d", i)))
			d := take(t, p, 1)[0]
			if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		for _, c := range []struct {
			keep streams.Retention
			left uint64
		}{
			{streams.DefaultRetention(), 10},
			{streams.Retention{Tasks: 8, Age: 24 * time.Hour}, 8},
			{streams.Retention{Tasks: 8, Age: 65 * time.Minute}, 6},
			{streams.Retention{Tasks: 3, Age: 45 * time.Minute}, 3},
			{streams.Retention{Tasks: 100, Age: 0}, 0},
		} {
			before := streamInfo(t, js, "TASKS_default").State.Msgs
			removed, err := store.Trim(t.Context(), "default", c.keep)
			if left := streamInfo(t, js, "TASKS_default").State.Msgs; err != nil || left != c.left || removed != before-left {
				t.Errorf("%+v leaves %d of %d, says %d, %v", c.keep, left, before, removed, err)
			}
		}
		if _, err := store.Trim(t.Context(), "nowhere", streams.Retention{}); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("a queue that is not there: %v", err)
		}
	})
}

// Whatever happens, and whenever it is trimmed: nothing is removed that anybody needs,
// and in the end nothing is left.
func TestTrimTakesNothingThatIsNeeded(t *testing.T) {
	const cases = 12
	bubble(t, func(t *testing.T) {
		for seed := range cases {
			history := rapid.Custom(func(rt *rapid.T) []string {
				return rapid.SliceOfN(rapid.SampledFrom(slices.Sorted(maps.Keys(deeds))), 20, 50).Draw(rt, "history")
			}).Example(seed)
			b := newBroker(t)
			w := &world{t: t, store: open(t, b, streams.Config{AckWait: 5 * time.Second}), js: inspect(t, b), groups: map[string]*group{}}
			w.p = pull(t, w.store, "default")
			for _, what := range history {
				deeds[what](w)
			}
			w.finish()
			if t.Failed() {
				t.Fatalf("case %d: %v", seed, history)
			}
			w.store.Close()
			w.js.Conn().Close()
			b.Stop()
		}
	})
}

// world is a queue with all who have to do with it.
type world struct {
	t      *testing.T
	store  *streams.Store
	js     jetstream.JetStream
	p      *streams.Puller
	held   []*streams.Delivery
	ids    []string
	groups map[string]*group
}

// group is a second consumer of the log, and what it is to see.
type group struct {
	consumer jetstream.Consumer
	kind     string
	needs    map[string]bool
}

var deeds = map[string]func(*world){
	"submit":         func(w *world) { w.submit("demo.echo", 3) },
	"submit another": func(w *world) { w.submit("demo.other", 2) },
	"take":           func(w *world) { w.take(3) },
	"finish":         func(w *world) { w.with(func(d *streams.Delivery) error { return w.succeed(d) }) },
	"finish late":    func(w *world) { w.last(func(d *streams.Delivery) error { return w.succeed(d) }) },
	"nak":            func(w *world) { w.with(func(d *streams.Delivery) error { return d.Release(0) }) },
	"forget":         func(w *world) { w.with(func(*streams.Delivery) error { return nil }) },
	"park": func(w *world) {
		w.last(func(d *streams.Delivery) error {
			return w.store.Retry(w.t.Context(), d, retrying(d, time.Now().Add(10*time.Second)), 10*time.Second)
		})
	},
	"check out": func(w *world) {
		if len(w.held) > 0 {
			d := w.held[0]
			w.may(w.store.CheckOut(w.t.Context(), d, recordOf(d, millrace.Running)))
		}
	},
	"move":           func(w *world) { w.move() },
	"pass time":      func(w *world) { time.Sleep(7 * time.Second) },
	"trim":           func(w *world) { w.trim(streams.Retention{}) },
	"trim some":      func(w *world) { w.trim(streams.Retention{Tasks: 4, Age: 20 * time.Second}) },
	"a group":        func(w *world) { w.join("all", "") },
	"a group of one": func(w *world) { w.join("some", "demo-other") },
	"a group reads": func(w *world) {
		for _, g := range w.groups {
			g.read(w.t, 2)
		}
	},
	"a group leaves": func(w *world) {
		delete(w.groups, "all")
		w.may(w.js.DeleteConsumer(w.t.Context(), "TASKS_default", "all"))
	},
	"no workers": func(w *world) {
		w.may(w.js.DeleteConsumer(w.t.Context(), "TASKS_default", "workers"))
		before := streamInfo(w.t, w.js, "TASKS_default").State.Msgs
		w.trim(streams.Retention{})
		if left := streamInfo(w.t, w.js, "TASKS_default").State.Msgs; left != before {
			w.t.Errorf("without workers %d of %d tasks were trimmed", before-left, before)
		}
		restore(w.t, w.p)
	},
}

// may fails the test unless err is one that can happen here.
func (w *world) may(err error) {
	w.t.Helper()
	if err != nil && !errors.Is(err, millrace.ErrConflict) && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		w.t.Error(err)
	}
}

func (w *world) submit(kind string, n int) {
	for range n {
		task := newTask(fmt.Sprintf("t%d", len(w.ids)))
		task.Kind = kind
		submit(w.t, w.store, task)
		w.ids = append(w.ids, task.ID)
		for _, g := range w.groups {
			g.wants(kind, task.ID)
		}
	}
}

func (w *world) take(room int) {
	got, err := w.p.Next(w.t.Context(), room)
	if err != nil && !errors.Is(err, millrace.ErrUnavailable) { // its consumer may have gone
		w.t.Error(err)
	}
	for _, d := range got {
		switch {
		case d.Record != nil && d.Record.State.Final():
			w.may(d.Ack())
		case d.Record != nil && time.Until(d.Record.NextAt) > 0:
			w.may(d.Release(time.Until(d.Record.NextAt)))
		default:
			w.held = append(w.held, d)
		}
	}
}

// with does something to the task that is held longest, and last to the one that was
// taken last.
func (w *world) with(do func(*streams.Delivery) error) {
	if len(w.held) > 0 {
		d := w.held[0]
		w.held = w.held[1:]
		w.may(do(d))
	}
}

func (w *world) last(do func(*streams.Delivery) error) {
	slices.Reverse(w.held)
	w.with(do)
	slices.Reverse(w.held)
}

func (w *world) succeed(d *streams.Delivery) error {
	return w.store.Finish(w.t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour)
}

func (w *world) trim(keep streams.Retention) {
	_, err := w.store.Trim(w.t.Context(), "default", keep)
	w.may(err)
}

// move moves what is due.
func (w *world) move() {
	for shard := range w.store.Shards() {
		p, err := w.store.PullDue(shard)
		if err != nil {
			w.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Millisecond)
		got, err := p.Next(ctx, 100)
		cancel()
		w.may(err)
		w.may(w.store.Move(w.t.Context(), got))
		w.may(p.Close())
	}
}

func (w *world) join(name, kind string) {
	if w.groups[name] != nil {
		return
	}
	g := &group{kind: kind, needs: map[string]bool{}}
	cfg := jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 3 * time.Second}
	if kind != "" {
		cfg.FilterSubject = "tasks.default." + kind + ".>"
	}
	stream, err := w.js.Stream(w.t.Context(), "TASKS_default")
	if err == nil {
		g.consumer, err = stream.CreateConsumer(w.t.Context(), cfg)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	state := stream.CachedInfo().State
	for seq := max(1, state.FirstSeq); seq <= state.LastSeq; seq++ {
		if m, err := stream.GetMsg(w.t.Context(), seq); err == nil {
			parts := strings.Split(m.Subject, ".")
			g.wants(strings.ReplaceAll(parts[2], "-", "."), parts[3])
		}
	}
	w.groups[name] = g
}

func (g *group) wants(kind, id string) {
	if g.kind == "" || g.kind == strings.ReplaceAll(kind, ".", "-") {
		g.needs[id] = true
	}
}

func (g *group) read(t *testing.T, n int) (came int) {
	batch, err := g.consumer.FetchNoWait(n)
	if err != nil {
		t.Error(err)
		return 0
	}
	for m := range batch.Messages() {
		came++
		delete(g.needs, strings.Split(m.Subject(), ".")[3])
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return came
}

// finish does what is left to do, trimming all the while.
func (w *world) finish() {
	for range 40 {
		w.trim(streams.Retention{})
		w.move()
		for w.take(100); len(w.held) > 0; {
			w.with(w.succeed)
		}
	}
	for _, id := range w.ids {
		if f, err := w.store.Lookup(w.t.Context(), id); err != nil || f.Record.State != millrace.Succeeded {
			w.t.Errorf("%s: %s, %v", id, f.Record.State, err)
		}
	}
	for name, g := range w.groups {
		for g.read(w.t, 100) > 0 {
		}
		if len(g.needs) > 0 {
			w.t.Errorf("the group %s missed %v", name, g.needs)
		}
	}
	w.trim(streams.Retention{})
	if n := streamInfo(w.t, w.js, "TASKS_default").State.Msgs; n > 0 {
		w.t.Errorf("%d tasks are left", n)
	}
	if _, err := w.store.TrimDue(w.t.Context()); err != nil {
		w.t.Error(err)
	}
	for shard := range w.store.Shards() {
		if n := streamInfo(w.t, w.js, fmt.Sprintf("SCHEDULES_%d", shard)).State.Msgs; n > 0 {
			w.t.Errorf("%d messages wait for nothing", n)
		}
	}
}
