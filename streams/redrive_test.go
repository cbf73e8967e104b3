package streams_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// kill submits a task and lets it fail for good.
func kill(t *testing.T, store *streams.Store, p *streams.Puller, task millrace.RawTask, why string) {
	t.Helper()
	submit(t, store, task)
	fail(t, store, p, task.ID, why)
}

// fail lets the next delivery, which must be of that task, fail for good.
func fail(t *testing.T, store *streams.Store, p *streams.Puller, id, why string) {
	t.Helper()
	d := take(t, p, 1)[0]
	if d.Task.ID != id {
		t.Fatalf("%s came instead of %s", d.Task.ID, id)
	}
	r := retrying(d, time.Time{})
	r.State, r.NextAt, r.Tags, r.Error, r.Attempts[len(r.Attempts)-1].Error = millrace.Failed, time.Time{}, d.Task.Tags, why, why
	if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// work runs what comes within some seconds to a good end, and returns that.
func work(t *testing.T, store *streams.Store, p *streams.Puller) (ran []millrace.RawTask) {
	t.Helper()
	for range 4 {
		got, err := p.Next(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if d.Record != nil && d.Record.State.Final() {
				if err := store.Settle(t.Context(), d); err != nil {
					t.Fatal(err)
				}
				continue
			}
			ran = append(ran, d.Task)
			running := retrying(d, time.Time{})
			running.State, running.Attempts, running.NextAt = millrace.Running, running.Attempts[:len(running.Attempts)-1], time.Time{}
			if err := store.Note(t.Context(), d, running); err != nil {
				t.Fatalf("%s says that it runs: %v", d.Task.ID, err)
			}
			r := retrying(d, time.Time{})
			r.State, r.NextAt, r.Attempts[len(r.Attempts)-1].Error = millrace.Succeeded, time.Time{}, ""
			if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ran
}

// expire lets the task's record go, as the server does when its time is up.
func expire(t *testing.T, js jetstream.JetStream, id string) {
	t.Helper()
	s, err := js.Stream(t.Context(), "KV_results")
	if err == nil {
		err = s.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.results."+id))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func deadIDs(t *testing.T, store *streams.Store) (ids []string) {
	t.Helper()
	page, err := store.Dead(t.Context(), streams.DeadQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range page.Tasks {
		ids = append(ids, d.ID)
	}
	return ids
}

// A redriven task keeps its id and its history, and counts its attempts anew. When it
// dies again it is among the dead again, and can be redriven again.
func TestRedrive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		kill(t, store, p, newTask("one"), "no luck")
		r, err := store.Redrive(t.Context(), "one", nil)
		if err != nil || r.State != millrace.Pending || len(r.Attempts) != 1 || r.Redrives != 1 || r.Error != "" || !r.ExpiresAt.IsZero() {
			t.Fatalf("%+v, %v", r, err)
		}
		if f, err := store.Lookup(t.Context(), "one"); err != nil || f.Record.State != millrace.Pending || len(f.Record.Attempts) != 1 {
			t.Errorf("it is %+v, %v", f.Record, err)
		}
		if n := streamInfo(t, js, "DEAD").State.Msgs; n != 0 {
			t.Errorf("%d are left among the dead", n)
		}
		if _, err := store.Redrive(t.Context(), "one", nil); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("once more: %v", err)
		}
		fail(t, store, p, "one", "again no luck")
		d, err := store.DeadTask(t.Context(), "one")
		if err != nil || len(d.Record.Attempts) != 2 || d.Task.Spent != 1 || d.Record.Redrives != 1 || string(d.Task.Args) != `{"n":1}` {
			t.Fatalf("%+v, %v", d, err)
		}
		if _, err := store.Redrive(t.Context(), "one", json.RawMessage(`{"n":2}`)); err != nil {
			t.Fatal(err)
		}
		ran := work(t, store, p)
		if len(ran) != 1 || string(ran[0].Args) != `{"n":2}` || ran[0].Spent != 2 || ran[0].Redrives != 2 {
			t.Errorf("ran %+v", ran)
		}
		f, err := store.Lookup(t.Context(), "one")
		if err != nil || f.Record.State != millrace.Succeeded || len(f.Record.Attempts) != 3 || f.Record.Redrives != 2 {
			t.Errorf("it ends as %+v, %v", f.Record, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Whoever redrives may die before any of its writes. It is redriven once all the same,
// if somebody repeats it, whether the task has run by then or not; and if nobody does,
// it is dead still, or runs once.
func TestDeathWhileRedriving(t *testing.T) {
	for _, c := range []struct {
		name                     string
		args                     json.RawMessage
		expired, workFirst, once bool
		atLeast                  int
	}{
		{name: "repeated", atLeast: 3},
		{name: "repeated, when it has run", workFirst: true, atLeast: 3},
		{name: "not repeated", once: true, atLeast: 3},
		{name: "with other args", args: json.RawMessage(`{"n": 2}`), atLeast: 3},
		{name: "expired", expired: true, atLeast: 4},
		{name: "expired, when it has run", expired: true, workFirst: true, atLeast: 4},
		{name: "expired, not repeated", expired: true, once: true, atLeast: 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store, js := open(t, b, streams.Config{}), inspect(t, b)
				p := pull(t, store, "default")
				for n := 0; ; n += broker.Step() {
					id := fmt.Sprintf("t%d", n)
					kill(t, store, p, newTask(id), "no luck")
					if c.expired {
						expire(t, js, id)
					}
					way := &broker.Mortal{Broker: b, Left: n}
					mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way})
					if err != nil {
						t.Fatal(err)
					}
					if _, err = mortal.Redrive(t.Context(), id, c.args); err == nil == way.Died() {
						t.Errorf("write %d: died %v, and it is %v", n, way.Died(), err)
					}
					mortal.Close()
					var ran []millrace.RawTask
					if c.workFirst {
						ran = work(t, store, p)
					}
					if !c.once {
						_, err = store.Redrive(t.Context(), id, c.args)
						if err != nil && !errors.Is(err, millrace.ErrNotFound) {
							t.Errorf("repeated: %v", err)
						}
					}
					if ran = append(ran, work(t, store, p)...); len(ran) == 0 && c.once {
						if left := deadIDs(t, store); len(left) != 1 || left[0] != id {
							t.Errorf("write %d: it has not run, and dead are %v", n, left)
						}
						if err := store.Discard(t.Context(), id); err != nil {
							t.Error(err)
						}
					} else {
						checkRisen(t, store, id, ran, c.args)
					}
					if left := streamInfo(t, js, "DEAD").State.Msgs; left != 0 {
						t.Errorf("write %d: %d are left among the dead", n, left)
					}
					if t.Failed() || !way.Died() {
						if n < c.atLeast {
							t.Errorf("there were %d writes", n)
						}
						break
					}
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func checkRisen(t *testing.T, store *streams.Store, id string, ran []millrace.RawTask, args json.RawMessage) {
	t.Helper()
	if len(ran) != 1 || ran[0].ID != id || args != nil && string(ran[0].Args) != strings.ReplaceAll(string(args), " ", "") && string(ran[0].Args) != string(args) {
		t.Errorf("%s: ran %+v", id, ran)
	}
	f, err := store.Lookup(t.Context(), id)
	if err != nil || f.Record.State != millrace.Succeeded || len(f.Record.Attempts) != 2 || f.Record.Redrives != 1 {
		t.Errorf("%s is %+v, %v", id, f.Record, err)
	}
}

// Of many who redrive at once one does. All are told that it is done, or that it is not
// among the dead any more.
func TestRedriveAtOnce(t *testing.T) {
	for _, expired := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			b := newBroker(t)
			store, js := open(t, b, streams.Config{}), inspect(t, b)
			others := []*streams.Store{store, open(t, b, streams.Config{}), open(t, b, streams.Config{})}
			p := pull(t, store, "default")
			for n := range 20 {
				id := fmt.Sprintf("t%d", n)
				kill(t, store, p, newTask(id), "no luck")
				if expired {
					expire(t, js, id)
				}
				var redriving sync.WaitGroup
				for i := range 6 {
					redriving.Go(func() {
						_, err := others[i%3].Redrive(t.Context(), id, nil)
						if err != nil && !errors.Is(err, millrace.ErrNotFound) {
							t.Error(err)
						}
					})
				}
				ran := work(t, store, p) // at the same time
				redriving.Wait()
				checkRisen(t, store, id, append(ran, work(t, store, p)...), nil)
			}
			if left := deadIDs(t, store); len(left) > 0 {
				t.Errorf("dead are %v", left)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is not dead is not redriven, and nothing has changed.
func TestRedriveRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		kill(t, store, p, newTask("dead"), "no luck")
		if _, err := store.Redrive(t.Context(), "dead", json.RawMessage(`{"n":`)); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("args that are not JSON: %v", err)
		}
		if _, err := store.Redrive(t.Context(), "dead", json.RawMessage(`"`+strings.Repeat("x", 2<<20)+`"`)); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("args that are too large: %v", err)
		}
		for id, want := range map[string]error{"never": millrace.ErrNotFound, "*": millrace.ErrInvalid, "": millrace.ErrInvalid} {
			if _, err := store.Redrive(t.Context(), id, nil); !errors.Is(err, want) {
				t.Errorf("%q: %v", id, err)
			}
			if err := store.Discard(t.Context(), id); !errors.Is(err, want) {
				t.Errorf("discard %q: %v", id, err)
			}
		}
		if f, err := store.Lookup(t.Context(), "dead"); err != nil || f.Record.State != millrace.Failed || f.Record.Redrives != 0 {
			t.Errorf("%+v, %v", f.Record, err)
		}
		// Somebody buried it whose record was not taken: it was cancelled, or succeeded.
		body := lastMessage(t, js, "DEAD", "dead.default.demo-echo.dead").Data
		submit(t, store, newTask("done"), newTask("off"), newTask("under-way"))
		if _, err := store.Cancel(t.Context(), "off"); err != nil {
			t.Fatal(err)
		}
		for _, d := range take(t, p, 2) {
			r := retrying(d, time.Time{})
			if r.State, r.NextAt = millrace.Succeeded, (time.Time{}); d.Task.ID == "under-way" {
				r.State = millrace.Running
				if err := store.Note(t.Context(), d, r); err != nil {
					t.Fatal(err)
				}
			} else if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		for id, state := range map[string]millrace.State{"done": millrace.Succeeded, "off": millrace.Cancelled, "under-way": millrace.Running} {
			if _, err := js.Publish(t.Context(), "dead.default.demo-echo."+id, body); err != nil {
				t.Fatal(err)
			}
			_, err := store.Redrive(t.Context(), id, nil)
			if dead, ok := errors.AsType[*millrace.NotDeadError](err); !ok || dead.State != state || !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("%s: %v", id, err)
			}
			if _, err := store.DeadTask(t.Context(), id); !errors.Is(err, millrace.ErrNotFound) {
				t.Errorf("%s among the dead: %v", id, err)
			}
			if f, err := store.Lookup(t.Context(), id); err != nil || f.Record.State != state {
				t.Errorf("%s is %s, %v", id, f.Record.State, err)
			}
		}
		if err := store.Discard(t.Context(), "under-way"); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("discard what is under way: %v", err)
		}
		if left := deadIDs(t, store); len(left) != 1 || left[0] != "dead" {
			t.Errorf("dead are %v", left)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A delivery from before the redrive is out of date, whatever its worker still does.
func TestWorkerOfTheLifeBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: 2 * time.Second})
		p := pull(t, store, "default")
		submit(t, store, newTask("one"))
		frozen := take(t, p, 1)[0]
		time.Sleep(3 * time.Second)
		fail(t, store, p, "one", "no luck") // another one has it meanwhile
		if _, err := store.Redrive(t.Context(), "one", nil); err != nil {
			t.Fatal(err)
		}
		r := retrying(frozen, time.Time{})
		r.State, r.NextAt, r.Error = millrace.Failed, time.Time{}, "late"
		if err := store.Finish(t.Context(), frozen, r, time.Hour); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("it is finished: %v", err)
		}
		if left := deadIDs(t, store); len(left) != 0 {
			t.Errorf("dead are %v", left)
		}
		checkRisen(t, store, "one", work(t, store, p), nil)
		time.Sleep(3 * time.Hour)
		if left := deadIDs(t, store); len(left) != 0 {
			t.Errorf("when its record is gone, dead are %v", left)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// One whose log does not remember it any more has its args from among the dead.
func TestRedriveWhatTheLogHasForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		kill(t, store, p, newTask("one"), "no luck")
		time.Sleep(time.Second)
		if n, err := store.Trim(t.Context(), "default", streams.Retention{}); err != nil || n != 1 {
			t.Fatalf("%d trimmed, %v", n, err)
		}
		expire(t, js, "one")
		if _, err := store.Redrive(t.Context(), "one", nil); err != nil {
			t.Fatal(err)
		}
		checkRisen(t, store, "one", work(t, store, p), json.RawMessage(`{"n":1}`))
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// To discard is one write.
func TestDeathWhileDiscarding(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := pull(t, store, "default")
		kill(t, store, p, newTask("one"), "no luck")
		for _, left := range []int{0, math.MaxInt} {
			way := &broker.Mortal{Broker: b, Left: left}
			mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way})
			if err != nil {
				t.Fatal(err)
			}
			err = mortal.Discard(t.Context(), "one")
			mortal.Close()
			if dead := deadIDs(t, store); err == nil == way.Died() || len(dead) == 0 == way.Died() {
				t.Errorf("died %v: %v, and dead are %v", way.Died(), err, dead)
			}
		}
		if f, err := store.Lookup(t.Context(), "one"); err != nil || f.Record.State != millrace.Failed {
			t.Errorf("its record is %+v, %v", f.Record, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What cannot be redriven as it is stays among the dead, whoever asks for it, and the
// others are redriven beside it.
func TestRedriveWhatIsIncomplete(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		kill(t, store, p, newTask("whole"), "no luck")
		for id, body := range map[string]string{
			"cut":  `{"task":{"id":"cut","submitted_at":"2026-01-01T00:00:00Z"},"record":{"id":"cut","state":"failed","submitted_at":"2026-01-01T00:00:00Z"},"truncated":true}`,
			"none": `{"task":{"id":"none","submitted_at":"2026-01-01T00:00:00Z"},"record":{"id":"none","state":"failed","submitted_at":"2026-01-01T00:00:00Z"},"body":"eHh4"}`,
		} {
			if _, err := js.Publish(t.Context(), "dead.default.demo-echo."+id, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := store.RedriveAll(t.Context(), streams.DeadQuery{Limit: 10}, 1000)
		if err != nil || got.Tasks != 1 || len(got.Refused) != 2 || got.Next != "" {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, r := range got.Refused {
			if !errors.Is(r.Why, millrace.ErrInvalid) {
				t.Errorf("%s: %v", r.ID, r.Why)
			}
			if _, err := store.Lookup(t.Context(), r.ID); !errors.Is(err, millrace.ErrNotFound) {
				t.Errorf("%s has a record now: %v", r.ID, err)
			}
		}
		if _, err := store.Redrive(t.Context(), "none", json.RawMessage(`1`)); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("what is no task: %v", err)
		}
		if d, err := store.DeadTask(t.Context(), "cut"); err != nil || !d.ArgsGone {
			t.Errorf("%+v, %v", d, err)
		}
		if _, err := store.Redrive(t.Context(), "cut", json.RawMessage(`1`)); err != nil {
			t.Error(err)
		}
		if ran := work(t, store, p); len(ran) != 2 {
			t.Errorf("ran %v", ran)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A redriven task that is cancelled is gone from among the dead, though whoever redrove
// it died before it could take it out.
func TestCancelRedriven(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		p := pull(t, store, "default")
		kill(t, store, p, newTask("one"), "no luck")
		way := &broker.Mortal{Broker: b, Left: 2}
		mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mortal.Redrive(t.Context(), "one", nil); err == nil {
			t.Error("it did not die")
		}
		mortal.Close()
		if n := streamInfo(t, js, "DEAD").State.Msgs; n != 1 || len(deadIDs(t, store)) != 0 {
			t.Errorf("%d lie among the dead, %v", n, deadIDs(t, store))
		}
		if r, err := store.Cancel(t.Context(), "one"); err != nil || r.State != millrace.Cancelled {
			t.Errorf("%+v, %v", r, err)
		}
		if n := streamInfo(t, js, "DEAD").State.Msgs; n != 0 {
			t.Errorf("%d are left among the dead", n)
		}
		if ran := work(t, store, p); len(ran) != 0 {
			t.Errorf("ran %v", ran)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
