package streams_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// eachMode runs do for both ways of writing, with the server that each is for.
func eachMode(t *testing.T, do func(t *testing.T, b *broker.Broker, cfg streams.Config)) {
	t.Run("grouped", func(t *testing.T) { do(t, newBroker(t), streams.Config{}) })
	t.Run("async", func(t *testing.T) { do(t, startBroker(t, time.Second), streams.Config{Async: true}) })
}

func TestSubmitStoresTheTask(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{Routes: []millrace.Route{{Kinds: "mail.*", Queue: "bulk"}}})
	js := inspect(t, b)
	for _, c := range []struct{ kind, queue, stream, subject string }{
		{"demo.echo", "", "TASKS_default", "tasks.default.demo-echo.t1"},
		{"a.b_c.d.e0", "critical", "TASKS_critical", "tasks.critical.a-b_c-d-e0.t1"},
		{"mail.send", "", "TASKS_bulk", "tasks.bulk.mail-send.t1"},
		{"mail.send", "critical", "TASKS_critical", "tasks.critical.mail-send.t1"},
	} {
		task := millrace.RawTask{
			ID: "t1", Kind: c.kind, Queue: c.queue, Args: json.RawMessage(`{"to":["a"]}`), SubmittedAt: time.Now().UTC(),
			Options: millrace.Options{MaxAttempts: 3, Timeout: millrace.Duration(time.Second), Tags: []string{"x"}},
		}
		submit(t, store, task)
		var got millrace.RawTask
		if err := json.Unmarshal(lastMessage(t, js, c.stream, c.subject).Data, &got); err != nil {
			t.Fatal(err)
		}
		task.Queue = strings.Split(c.subject, ".")[1]
		if diff := cmp.Diff(task, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.subject, diff)
		}
	}
}

// 64 racers on 200 ids, 16 or so on each: every id is taken once, for ever.
func TestIDsAreTakenOnce(t *testing.T) {
	const racers, ids = 64, 200
	eachMode(t, func(t *testing.T, b *broker.Broker, cfg streams.Config) {
		store := open(t, b, cfg)
		var accepted [ids]atomic.Int32
		var all sync.WaitGroup
		for range racers {
			all.Go(func() {
				for _, i := range rand.Perm(ids)[:ids/4] {
					switch err := store.Submit(t.Context(), newTask(fmt.Sprintf("t%d", i))); {
					case err == nil:
						accepted[i].Add(1)
					case !errors.Is(err, millrace.ErrConflict):
						t.Errorf("t%d: %v", i, err)
					}
				}
			})
		}
		all.Wait()
		for i := range accepted {
			if n := accepted[i].Load(); n != 1 {
				t.Errorf("t%d was accepted %d times", i, n)
			}
		}

		b.Stop()
		b.Start()
		eventually(t, "the store is back", func() bool { return store.Ready(t.Context()) == nil })
		again := make([]millrace.RawTask, ids)
		for i := range again {
			again[i] = newTask(fmt.Sprintf("t%d", i))
		}
		for i, err := range store.SubmitMany(t.Context(), again) {
			if !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("t%d after a restart: got %v, want ErrConflict", i, err)
			}
		}
		if n := streamInfo(t, inspect(t, b), "TASKS_default").State.Msgs; n != ids {
			t.Errorf("the log holds %d tasks, want %d", n, ids)
		}
	})
}

// What is wrong with some tasks of a batch is no matter to the others.
func TestNeighboursAreSpared(t *testing.T) {
	eachMode(t, func(t *testing.T, b *broker.Broker, cfg streams.Config) {
		store := open(t, b, cfg)
		submit(t, store, newTask("taken"))
		tasks := make([]millrace.RawTask, 300)
		want := make([]error, len(tasks))
		for i := range tasks {
			tasks[i] = newTask(fmt.Sprintf("t%d", i))
		}
		spoil := func(i int, err error, change func(*millrace.RawTask)) {
			change(&tasks[i])
			want[i] = err
		}
		spoil(0, millrace.ErrConflict, func(t *millrace.RawTask) { t.ID = "taken" })
		spoil(50, millrace.ErrConflict, func(t *millrace.RawTask) { t.ID = "t49" })
		spoil(100, millrace.ErrInvalid, func(t *millrace.RawTask) { t.Args = json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`) })
		spoil(101, millrace.ErrInvalid, func(t *millrace.RawTask) { t.Args = json.RawMessage(`{`) })
		spoil(150, millrace.ErrInvalid, func(t *millrace.RawTask) { t.ID = "*" })
		spoil(151, millrace.ErrInvalid, func(t *millrace.RawTask) { t.Kind = "a.>" })
		spoil(200, millrace.ErrInvalid, func(t *millrace.RawTask) { t.Queue = "nowhere" })
		spoil(299, millrace.ErrConflict, func(t *millrace.RawTask) { t.ID = "taken" })

		stored := uint64(1)
		for i, err := range store.SubmitMany(t.Context(), tasks) {
			if !errors.Is(err, want[i]) {
				t.Errorf("task %d: got %v, want %v", i, err, want[i])
			}
			if err == nil {
				stored++
			}
		}
		if n := streamInfo(t, inspect(t, b), "TASKS_default").State.Msgs; n != stored {
			t.Errorf("%d tasks were accepted and %d are stored", stored, n)
		}
	})
}

// Which of many equal ids in one call is accepted does not matter, but one is.
func TestTwinsInOneCall(t *testing.T) {
	eachMode(t, func(t *testing.T, b *broker.Broker, cfg streams.Config) {
		store := open(t, b, cfg)
		twins := make([]millrace.RawTask, 100)
		for i := range twins {
			twins[i] = newTask("twin")
		}
		accepted := 0
		for _, err := range store.SubmitMany(t.Context(), twins) {
			if err == nil {
				accepted++
			} else if !errors.Is(err, millrace.ErrConflict) {
				t.Error(err)
			}
		}
		if accepted != 1 {
			t.Errorf("%d of 100 twins were accepted", accepted)
		}
	})
}

func TestHostileNamesStoreNothing(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	for _, name := range []string{"", "*", ">", ".", "a.b", "a b", "a*", "a\r\nb", "a\r\nNats-TTL: 1s", "\x00", "ä", strings.Repeat("a", 5<<10)} {
		for what, change := range map[string]func(*millrace.RawTask){
			"id":    func(t *millrace.RawTask) { t.ID = name },
			"kind":  func(t *millrace.RawTask) { t.Kind = name },
			"queue": func(t *millrace.RawTask) { t.Queue = name },
		} {
			task := newTask("fine")
			change(&task)
			if what == "kind" && name == "a.b" || what == "queue" && name == "" {
				continue // that is a kind, and this leaves the queue to the routes
			}
			if err := store.Submit(t.Context(), task); !errors.Is(err, millrace.ErrInvalid) {
				t.Errorf("%s %.20q: got %v, want ErrInvalid", what, name, err)
			}
		}
		if _, err := store.Lookup(t.Context(), name); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("look up %.20q: got %v, want ErrInvalid", name, err)
		}
	}
	for name := range configs(t, inspect(t, b)) {
		if n := streamInfo(t, inspect(t, b), name).State.LastSeq; n != 0 {
			t.Errorf("%s has taken %d messages", name, n)
		}
	}
	submit(t, store, newTask("fine")) // and the connection lives
}

// A full queue refuses work: what it took it keeps, and the others go on.
func TestFullQueue(t *testing.T) {
	eachMode(t, func(t *testing.T, b *broker.Broker, cfg streams.Config) {
		cfg.MaxQueueBytes = 1 << 20
		store := open(t, b, cfg)
		var accepted []string
		full := 0
		for round := range 10 {
			tasks := make([]millrace.RawTask, 50)
			for i := range tasks {
				tasks[i] = newTask(fmt.Sprintf("t%d", 50*round+i))
				tasks[i].Args = json.RawMessage(`"` + strings.Repeat("x", 5<<10) + `"`)
			}
			for i, err := range store.SubmitMany(t.Context(), tasks) {
				switch {
				case err == nil:
					accepted = append(accepted, tasks[i].ID)
				case errors.Is(err, millrace.ErrQueueFull):
					full++
				default:
					t.Fatalf("%s: %v", tasks[i].ID, err)
				}
			}
		}
		if len(accepted) < 150 || full < 250 {
			t.Errorf("1 MiB took %d tasks of 5 KiB and refused %d", len(accepted), full)
		}
		if n := streamInfo(t, inspect(t, b), "TASKS_default").State.Msgs; n != uint64(len(accepted)) {
			t.Errorf("%d tasks were accepted and %d are stored", len(accepted), n)
		}
		for _, id := range accepted {
			if f, err := store.Lookup(t.Context(), id); err != nil || f.Record.State != millrace.Pending {
				t.Fatalf("%s: %v, %v", id, f.Record.State, err)
			}
		}
		other := newTask("other")
		other.Queue = "bulk"
		submit(t, store, other)
	})
}
