package scheduler_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// A process that puts a schedule, lets it fire three times, replaces it, and cancels it
// dies before any of its writes, and another one goes on: each due time is submitted
// once, and a schedule goes on firing until it is told not to.
func TestDeathAtAnyWrite(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		b := newBroker(t)
		js := inspect(t, b)
		for n := 0; ; n += broker.Step() {
			l := &life{t: t, js: js, way: &broker.Mortal{Broker: b, Left: n}}
			first := l.way
			l.live()
			if t.Failed() {
				t.Fatalf("so it went when the process died before write %d", n)
			}
			if !first.Died() {
				if t.Logf("it died before each of %d writes", n); n < 12 {
					t.Error("there must be more")
				}
				break
			}
		}
	})
}

type life struct {
	t    *testing.T
	js   jetstream.JetStream
	way  *broker.Mortal
	died time.Time
	book *scheduler.Book
	stop func()
}

func (l *life) live() {
	t := l.t
	l.start()
	defer func() { l.stop() }()
	before := every("s", 5*time.Second)
	after := every("s", 5*time.Second)
	after.Kind = "k.after"

	l.insist(func(ctx context.Context) error {
		_, err := l.book.Put(ctx, before)
		return err
	})
	l.await("k.s", 3)
	l.insist(func(ctx context.Context) error {
		_, err := l.book.Put(ctx, after)
		return err
	})
	replaced := time.Now()
	l.await("k.after", 1)
	l.cancel()
	ended := time.Now()
	l.sleep(8 * time.Second)
	if time.Since(l.died) < 40*time.Second { // what the dead one had comes again
		l.sleep(40*time.Second - time.Since(l.died))
	}
	for _, got := range submissions(t, l.js, "default") {
		switch due := got.at.Truncate(5 * time.Second); {
		case got.ID != before.TaskID(due) && l.way.Left == math.MaxInt:
			// One catch-up may be late, since the dead one had it.
		case got.ID != before.TaskID(due), got.at.Sub(due) > late:
			t.Errorf("at %s came the task of another due time", got.at)
		}
		if got.Kind == "k.s" && got.at.After(replaced) || got.at.After(ended) {
			t.Errorf("at %s came %s, replaced %s and cancelled %s", got.at, got.Kind, replaced, ended)
		}
	}
	log, err := l.js.Stream(t.Context(), "TASKS_default")
	if err == nil {
		err = log.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a process.
func (l *life) start() {
	store, err := streams.Open(l.t.Context(), streams.Config{InProcess: l.way})
	if err != nil {
		l.t.Fatal(err)
	}
	stop := run(l.t, store, scheduler.Config{Tidy: 10 * time.Second})
	l.book = scheduler.NewBook(store)
	l.stop = func() {
		stop()
		store.Close()
	}
}

// restart starts another process if this one has died.
func (l *life) restart() {
	if l.way.Died() {
		l.stop()
		l.died = time.Now()
		l.way = &broker.Mortal{Broker: l.way.Broker, Left: math.MaxInt}
		l.start()
	}
}

func (l *life) sleep(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		l.restart()
		time.Sleep(500 * time.Millisecond)
	}
}

// insist does something until it is done.
func (l *life) insist(do func(ctx context.Context) error) {
	for range 5 {
		err := do(l.t.Context())
		if err == nil {
			return
		}
		if !l.way.Died() {
			l.t.Fatal(err)
		}
		l.restart()
	}
	l.t.Fatal("again and again it failed")
}

func (l *life) cancel() {
	cancelled := false
	l.insist(func(ctx context.Context) error {
		err := l.book.Cancel(ctx, "s")
		if errors.Is(err, millrace.ErrNotFound) && cancelled {
			return nil
		}
		cancelled = true // it may be, though the answer is an error
		return err
	})
}

// await waits for so many tasks of a kind.
func (l *life) await(kind string, n int) {
	for range 500 {
		found := 0
		for _, s := range submissions(l.t, l.js, "default") {
			if s.Kind == kind {
				found++
			}
		}
		if found >= n {
			return
		}
		l.sleep(time.Second)
	}
	l.t.Fatalf("%d tasks %s did not come", n, kind)
}
