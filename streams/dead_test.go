package streams_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/streams"
)

// searchAll pages through the dead and returns the ids.
func searchAll(t *testing.T, store *streams.Store, q streams.DeadQuery) (ids []string) {
	t.Helper()
	for {
		page, err := store.Dead(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Tasks) > q.Limit {
			t.Fatalf("a page of %d, and %d were asked for", len(page.Tasks), q.Limit)
		}
		for _, d := range page.Tasks {
			ids = append(ids, d.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return ids
		}
	}
}

// The dead are found by what they are, why and when they died, the newest first, and are
// discarded by the same, if one knows how many they are.
func TestDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		if got := searchAll(t, store, streams.DeadQuery{Limit: 10}); len(got) != 0 {
			t.Errorf("of none there are %v", got)
		}
		start := time.Now()
		pullers := map[string]*streams.Puller{"default": pull(t, store, "default"), "bulk": pull(t, store, "bulk")}
		for i := range 6 {
			task := newTask(fmt.Sprintf("t%d", i))
			task.Queue, task.Tags = []string{"default", "bulk"}[i%2], []string{"tag"}
			if i > 3 {
				task.Kind = "mail.send"
			}
			kill(t, store, pullers[task.Queue], task, []string{"no luck", "Bank is BUSY"}[i/3])
			time.Sleep(time.Minute)
		}
		at := func(i int) time.Time { return start.Add(time.Duration(i)*time.Minute - time.Second) }
		for _, c := range []struct {
			name string
			q    streams.DeadQuery
			want string
		}{
			{"all", streams.DeadQuery{}, "t5 t4 t3 t2 t1 t0"},
			{"queue", streams.DeadQuery{Queue: "bulk"}, "t5 t3 t1"},
			{"kind", streams.DeadQuery{Kind: "mail.send"}, "t5 t4"},
			{"error", streams.DeadQuery{Error: "bank is busy"}, "t5 t4 t3"},
			{"no such error", streams.DeadQuery{Error: "bank.is"}, ""},
			{"since", streams.DeadQuery{Since: at(4)}, "t5 t4"},
			{"until", streams.DeadQuery{Until: at(2)}, "t1 t0"},
			{"between", streams.DeadQuery{Since: at(1), Until: at(4)}, "t3 t2 t1"},
			{"never", streams.DeadQuery{Since: at(60)}, ""},
			{"before all", streams.DeadQuery{Until: at(-60)}, ""},
			{"the wrong way round", streams.DeadQuery{Since: at(4), Until: at(1)}, ""},
			{"several", streams.DeadQuery{Queue: "bulk", Kind: "mail.send", Error: "BANK", Since: at(2)}, "t5"},
		} {
			for _, limit := range []int{1, 2, 100} {
				c.q.Limit = limit
				if diff := cmp.Diff(c.want, strings.Join(searchAll(t, store, c.q), " ")); diff != "" {
					t.Errorf("%s, %d a page (-want +got):\n%s", c.name, limit, diff)
				}
			}
			want := len(strings.Fields(c.want))
			_, err := store.DiscardAll(t.Context(), c.q, want+1)
			if wrong, ok := errors.AsType[*streams.CountError](err); !ok || wrong.Have != uint64(want) || !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("discard %s: %v", c.name, err)
			}
		}
		page, err := store.Dead(t.Context(), streams.DeadQuery{Limit: 1, Queue: "bulk"})
		if err != nil || len(page.Tasks) != 1 || !page.SearchedUntil.Equal(page.Tasks[0].DiedAt) {
			t.Fatalf("%+v, %v", page, err)
		}
		if d := page.Tasks[0]; d.Kind != "mail.send" || d.Queue != "bulk" || d.Attempts != 1 || d.Error != "Bank is BUSY" || len(d.Tags) != 1 || d.DiedAt.Before(at(5)) {
			t.Errorf("%+v", d)
		}
		for _, cursor := range []string{"0", "!", "1-2"} {
			if _, err := store.Dead(t.Context(), streams.DeadQuery{Limit: 1, Cursor: cursor}); !errors.Is(err, millrace.ErrInvalid) {
				t.Errorf("the cursor %q: %v", cursor, err)
			}
		}
		if n, err := store.DiscardAll(t.Context(), streams.DeadQuery{Queue: "bulk"}, 3); n != 3 || err != nil {
			t.Errorf("%d discarded, %v", n, err)
		}
		if diff := cmp.Diff([]string{"t4", "t2", "t0"}, searchAll(t, store, streams.DeadQuery{Limit: 2})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, p := range pullers {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// Many are redriven page by page, each once, though they die again meanwhile, and no
// faster than asked for.
func TestRedriveAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		p := pull(t, store, "default")
		for i := range 25 {
			kill(t, store, p, newTask(fmt.Sprintf("t%d", i)), "no luck")
		}
		other := newTask("other")
		other.Kind = "mail.send"
		kill(t, store, p, other, "no luck")
		start, q := time.Now(), streams.DeadQuery{Kind: "demo.echo", Limit: 10}
		redriven := 0
		for pages := 1; ; pages++ {
			got, err := store.RedriveAll(t.Context(), q, 10)
			if err != nil || len(got.Refused) > 0 {
				t.Fatalf("%+v, %v", got, err)
			}
			for range got.Tasks { // they die again at once
				d := take(t, p, 1)[0]
				if want := fmt.Sprintf("t%d", redriven); d.Task.ID != want {
					t.Errorf("%s was redriven, want %s: the one that died first", d.Task.ID, want)
				}
				redriven++
				r := retrying(d, time.Time{})
				r.State, r.NextAt = millrace.Failed, time.Time{}
				if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			if q.Cursor = got.Next; q.Cursor == "" {
				break
			}
			if pages > 10 {
				t.Fatal("it does not end")
			}
		}
		if redriven != 25 {
			t.Errorf("%d were redriven", redriven)
		}
		if took := time.Since(start); took < 2200*time.Millisecond {
			t.Errorf("they were redriven in %s", took)
		}
		page, err := store.Dead(t.Context(), streams.DeadQuery{Limit: 100})
		if err != nil || len(page.Tasks) != 26 {
			t.Fatalf("%d are dead, %v", len(page.Tasks), err)
		}
		for _, d := range page.Tasks {
			if want := map[bool]int{true: 0, false: 1}[d.ID == "other"]; d.Redrives != want {
				t.Errorf("%s was redriven %d times", d.ID, d.Redrives)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// How long the dead are kept is what was asked for last; who asks for nothing shortens
// nothing.
func TestDeadRetention(t *testing.T) {
	b := newBroker(t)
	js := inspect(t, b)
	for _, c := range []struct{ asked, want time.Duration }{
		{0, 90 * day},
		{30 * day, 30 * day},
		{0, 90 * day},
		{180 * day, 180 * day},
		{0, 180 * day},
		{-1, 0},
		{0, 0},
		{time.Hour, time.Hour},
	} {
		open(t, b, streams.Config{DeadRetention: c.asked})
		if got := streamInfo(t, js, "DEAD").Config.MaxAge; got != c.want {
			t.Errorf("asked for %s: %s", c.asked, got)
		}
	}
	if _, err := streams.Open(t.Context(), streams.Config{InProcess: b, DeadRetention: time.Minute}); err == nil {
		t.Error("a minute is taken")
	}
}

// Who breaks off says where to go on, and nobody is left out.
func TestRedriveAllBrokenOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		p := pull(t, store, "default")
		for i := range 6 {
			kill(t, store, p, newTask(fmt.Sprintf("t%d", i)), "no luck")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		q := streams.DeadQuery{Limit: 10}
		got, err := store.RedriveAll(ctx, q, 1)
		if !errors.Is(err, context.DeadlineExceeded) || got.Tasks != 3 || got.Next == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		q.Cursor = got.Next
		if got, err = store.RedriveAll(t.Context(), q, 1); err != nil || got.Tasks != 3 || got.Next != "" {
			t.Fatalf("%+v, %v", got, err)
		}
		if ran := work(t, store, p); len(ran) != 6 {
			t.Errorf("%d ran", len(ran))
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
