package scheduler_test

import (
	"context"
	"testing"
	"time"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// A process that puts a schedule, lets it fire, pauses it, resumes it and changes it dies
// before any of its writes, and another one goes on: while it is paused nothing comes,
// each due time is submitted at most once, and the schedule remembers each that was, once,
// and none that was not.
func TestDeathAtAnyWriteOfAPause(t *testing.T) {
	for _, catchUp := range []string{millrace.CatchUpOnce, millrace.CatchUpSkip} {
		t.Run(catchUp, func(t *testing.T) {
			broker.Bubble(t, soon(), func(t *testing.T) {
				b := newBroker(t)
				js := inspect(t, b)
				for n := 0; ; n += broker.Step() {
					l := &life{t: t, js: js, way: &broker.Mortal{Broker: b, Left: n}}
					first := l.way
					l.pause(catchUp)
					if t.Failed() {
						t.Fatalf("so it went when the process died before write %d", n)
					}
					if !first.Died() {
						if t.Logf("it died before each of %d writes", n); n < 20 {
							t.Error("there must be more")
						}
						break
					}
				}
			})
		})
	}
}

func (l *life) pause(catchUp string) {
	t := l.t
	l.start()
	defer func() { l.stop() }()
	s := every("s", 10*time.Second)
	s.CatchUp, s.Jitter = catchUp, millrace.Duration(3*time.Second)
	l.insist(func(ctx context.Context) error {
		_, err := l.book.Put(ctx, s)
		return err
	})
	l.await("k.s", 2)
	l.insist(func(ctx context.Context) error {
		_, err := l.book.Pause(ctx, "s")
		return err
	})
	paused := time.Now()
	l.sleep(25 * time.Second)
	resumed := time.Now()
	l.insist(func(ctx context.Context) error {
		_, err := l.book.Resume(ctx, "s")
		return err
	})
	l.await("k.s", 3)
	l.insist(func(ctx context.Context) error {
		_, err := l.book.Change(ctx, "s", "", func(s millrace.Schedule) (millrace.Schedule, error) {
			s.Args = []byte("7")
			return s, nil
		})
		return err
	})
	changed := time.Now()
	l.sleep(12 * time.Second)
	var e scheduler.Entry
	for again := true; again; again = time.Since(l.died) < 40*time.Second { // what the dead one had comes again
		l.sleep(time.Until(time.Now().Truncate(10 * time.Second).Add(16 * time.Second))) // between two due times
		l.insist(func(ctx context.Context) (err error) {
			e, err = l.book.Get(ctx, "s")
			return err
		})
	}
	remembered := map[string]bool{}
	for i, r := range e.Runs {
		if i > 0 && !r.Due.After(e.Runs[i-1].Due) {
			t.Errorf("after what is due at %s it remembers %s", e.Runs[i-1].Due, r.Due)
		}
		if r.Skipped == "" {
			remembered[s.TaskID(r.Due)] = true
		}
	}
	for _, got := range submissions(t, l.js, "default") {
		if got.at.After(paused) && got.at.Before(resumed) {
			t.Errorf("at %s there came a task, paused from %s to %s", got.at, paused, resumed)
		}
		if got.at.After(changed) && string(got.Args) != "7" {
			t.Errorf("at %s there came a task as it was before %s", got.at, changed)
		}
		if !remembered[got.ID] {
			t.Errorf("the task that came at %s is not remembered", got.at)
		}
		delete(remembered, got.ID)
	}
	for id := range remembered {
		t.Errorf("it remembers the task %s, which did not come", id)
	}
	l.cancel()
	log, err := l.js.Stream(t.Context(), "TASKS_default")
	if err == nil {
		err = log.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A due time whose task was submitted is remembered as submitted, though who did it died,
// and though it would be left out by now.
func TestSubmittedButNotNoted(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		l := &life{t: t, js: inspect(t, b)}
		l.book = scheduler.NewBook(store)
		minute := start.Truncate(time.Minute)
		s := every("s", 4*time.Minute)
		s.CatchUp = millrace.CatchUpSkip
		put(t, l.book, s)
		due := minute.Add(4 * time.Minute)
		time.Sleep(time.Until(due.Add(time.Second)))
		// The mover has submitted it, and dies.
		task := millrace.RawTask{ID: s.TaskID(due), Kind: s.Kind, Queue: "default", SubmittedAt: time.Now().UTC()}
		if err := store.Submit(t.Context(), task); err != nil {
			t.Fatal(err)
		}
		if _, err := l.book.Pause(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		e, err := l.book.Resume(t.Context(), "s")
		if err != nil || len(e.Runs) != 1 || e.Runs[0].Skipped != "" || !e.Runs[0].At.Equal(task.SubmittedAt) || e.LastTask != task.ID {
			t.Errorf("%+v, %v", e, err)
		}
	})
}
