package streams_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/streams"
)

// clerk does what gateways and workers do, at random.
type clerk struct {
	*rand.Rand
	t     *testing.T
	store *streams.Store
	pulls []*streams.Puller
	ids   []string
	hands []*streams.Delivery // what it has taken
}

func (c *clerk) act() {
	c.t.Helper()
	task := newTask(fmt.Sprintf("t%d", len(c.ids)))
	task.Queue = []string{"default", "bulk"}[c.IntN(2)]
	some := func() *streams.Delivery {
		if len(c.hands) == 0 {
			return nil
		}
		i := c.IntN(len(c.hands))
		d := c.hands[i]
		c.hands = slices.Delete(c.hands, i, i+1)
		return d
	}
	var err error
	switch c.IntN(11) {
	case 0, 1:
		c.ids = append(c.ids, task.ID)
		err = c.store.Submit(c.t.Context(), task)
	case 2:
		c.ids = append(c.ids, task.ID)
		task.Key = fmt.Sprint("k", c.IntN(2)) // one at a time
		err = c.store.Submit(c.t.Context(), task)
	case 3:
		c.ids = append(c.ids, task.ID)
		err = c.store.SubmitAt(c.t.Context(), task, time.Now().Add([]time.Duration{time.Second, 10 * time.Second, time.Hour}[c.IntN(3)]))
	case 4, 5:
		var got []*streams.Delivery
		got, err = c.pulls[c.IntN(2)].Next(c.t.Context(), 1)
		c.hands = append(c.hands, got...)
	case 6:
		if d := some(); d != nil {
			err = c.store.Finish(c.t.Context(), d, recordOf(d, []millrace.State{millrace.Succeeded, millrace.Failed}[c.IntN(2)]), time.Hour)
		}
	case 7:
		if d := some(); d != nil {
			wait := []time.Duration{time.Second, 20 * time.Second}[c.IntN(2)]
			err = c.store.Retry(c.t.Context(), d, retrying(d, time.Now().Add(wait)), wait)
		}
	case 8:
		if len(c.ids) > 0 {
			_, err = c.store.Cancel(c.t.Context(), c.ids[c.IntN(len(c.ids))])
		}
	case 9:
		var h streams.Holding
		unique := millrace.Unique{Key: "one", OnConflict: millrace.UniqueReplace}
		at := []time.Time{{}, time.Now().Add(10 * time.Second)}[c.IntN(2)]
		if h, err = c.store.SubmitUnique(c.t.Context(), task, at, unique); err == nil && !h.Existing {
			c.ids = append(c.ids, task.ID)
		}
	default:
		if len(c.ids) > 0 {
			_, err = c.store.Redrive(c.t.Context(), c.ids[c.IntN(len(c.ids))], nil)
		}
	}
	_, isNotDead := errors.AsType[*millrace.NotDeadError](err)
	_, isFinal := errors.AsType[*millrace.FinalError](err)
	_, isTaken := errors.AsType[*millrace.TakenError](err)
	if err != nil && !isNotDead && !isFinal && !isTaken && !errors.Is(err, millrace.ErrConflict) && !errors.Is(err, millrace.ErrNotFound) {
		c.t.Fatal(err)
	}
}

// The list has each task that is found by its id exactly once, in the same state, with
// pages of any size, whatever was done to it.
func TestListAgreesWithLookup(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for seed := range rounds {
		bubble(t, func(t *testing.T) {
			store := open(t, newBroker(t), streams.Config{AckWait: time.Hour})
			c := &clerk{Rand: rand.New(rand.NewPCG(1, uint64(seed))), t: t, store: store, pulls: []*streams.Puller{pull(t, store, "default"), pull(t, store, "bulk")}}
			for range 12 {
				for range 10 {
					c.act()
				}
				if c.IntN(2) == 0 {
					stop := moving(t, store)
					time.Sleep(time.Duration(c.IntN(12)) * time.Second)
					stop()
				}
				time.Sleep(time.Second) // the server counts what it stored
				want := map[string]millrace.State{}
				for _, id := range c.ids {
					f, err := store.Lookup(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					want[id] = f.Record.State
				}
				states := map[millrace.State][]string{}
				for id, state := range want {
					states[state] = append(states[state], id)
				}
				for _, limit := range []int{1 + c.IntN(4), 500} {
					c.wantListed(streams.ListQuery{Limit: limit}, want)
				}
				for _, state := range []millrace.State{
					millrace.Pending, millrace.Scheduled, millrace.Running, millrace.Retrying, millrace.Succeeded, millrace.Failed, millrace.Cancelled,
				} {
					only := map[string]millrace.State{}
					for _, id := range states[state] {
						only[id] = state
					}
					c.wantListed(streams.ListQuery{State: state, Limit: 7}, only)
				}
			}
		})
	}
}

// wantListed fails the test unless these are listed, the newest first.
func (c *clerk) wantListed(q streams.ListQuery, want map[string]millrace.State) {
	c.t.Helper()
	got := map[string]millrace.State{}
	var last time.Time
	for {
		page, err := c.store.List(c.t.Context(), q)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, task := range page.Tasks {
			if _, twice := got[task.ID]; twice {
				c.t.Errorf("%+v: %s is listed twice", q, task.ID)
			}
			if got[task.ID] = task.State; !last.IsZero() && task.ChangedAt.After(last) {
				c.t.Errorf("%+v: %s changed after what is listed before it", q, task.ID)
			}
			last = task.ChangedAt
		}
		if q.Cursor = page.Next; page.Next == "" {
			break
		}
		if page.SearchedUntil.IsZero() {
			c.t.Errorf("%+v: a page that is not the last says that all was searched", q)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Fatalf("%+v (-looked up +listed):\n%s", q, diff)
	}
}

// Each filter finds what it is about, in tasks that wait, run, are held or have ended.
func TestListFilters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: time.Hour})
		p := pull(t, store, "default")
		said := func(id, note string, tags ...string) millrace.RawTask {
			task := newTask(id)
			task.Args, task.Tags = json.RawMessage(`{"note":"`+note+`"}`), tags
			return task
		}
		start := time.Now()
		next := func() { time.Sleep(time.Minute) }
		ended := said("ended", "for Ann", "blue")
		submit(t, store, ended)
		d := take(t, p, 1)[0]
		next()
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour); err != nil {
			t.Fatal(err)
		}
		next()
		kill(t, store, p, said("dead", "for Bob", "blue", "red"), "The Bank is closed")
		next()
		submit(t, store, said("running", "for ann"))
		take(t, p, 1)
		next()
		first, second := said("first", "x", "red"), said("second", "FOR ANN")
		first.Key, second.Key = "k", "k"
		submit(t, store, first)
		next()
		submit(t, store, second)
		next()
		if err := store.SubmitAt(t.Context(), said("later", "to bob", "blue"), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			q    streams.ListQuery
			want []string
		}{
			{streams.ListQuery{}, []string{"later", "second", "first", "running", "dead", "ended"}},
			{streams.ListQuery{Tag: "blue"}, []string{"later", "dead", "ended"}},
			{streams.ListQuery{Tag: "blue", State: millrace.Scheduled}, []string{"later"}},
			{streams.ListQuery{Tag: "blu"}, nil},
			{streams.ListQuery{Error: "bank"}, []string{"dead"}},
			{streams.ListQuery{Text: "ann"}, []string{"second", "running", "ended"}},
			{streams.ListQuery{Text: "for bob"}, []string{"dead"}},
			{streams.ListQuery{Text: "bank"}, []string{"dead"}},
			{streams.ListQuery{Text: "econ"}, []string{"second"}},
			{streams.ListQuery{Text: "ECHO", State: millrace.Running}, []string{"running"}},
			{streams.ListQuery{Text: `"ok":true`}, []string{"ended"}},
			{streams.ListQuery{Text: "red"}, []string{"first", "dead"}},
			{streams.ListQuery{Since: start.Add(3 * time.Minute)}, []string{"later", "second", "first", "running"}},
			{streams.ListQuery{Until: start.Add(3 * time.Minute)}, []string{"dead", "ended"}},
			{streams.ListQuery{Since: start.Add(2 * time.Minute), Until: start.Add(5 * time.Minute)}, []string{"first", "running", "dead"}},
			{streams.ListQuery{Since: start.Add(time.Hour)}, nil},
			{streams.ListQuery{Until: start}, nil},
			{streams.ListQuery{Queue: "nowhere"}, nil},
		} {
			for _, c.q.Limit = range []int{1, 2, 100} {
				if diff := cmp.Diff(c.want, listAll(t, store, c.q)); diff != "" {
					t.Errorf("%+v (-want +got):\n%s", c.q, diff)
				}
			}
		}
		held, err := store.List(t.Context(), streams.ListQuery{Text: "second"})
		if err != nil || len(held.Tasks) != 1 || held.Tasks[0].HeldBy != "key-k" {
			t.Errorf("%+v, %v", held, err)
		}
		// What its queue's log has forgotten has no args any more, and that is said.
		purge(t, inspect(t, b), "TASKS_default", "tasks.default.demo-echo.ended")
		gone, err := store.List(t.Context(), streams.ListQuery{Text: "ann", Limit: 10})
		if err != nil || len(gone.Tasks) != 2 || gone.ArgsGone != 1 {
			t.Errorf("%+v, %v", gone, err)
		}
	})
}
