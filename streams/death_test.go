package streams_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// story is the life of a task, which must come to the same end when the process that
// has it dies before any of its writes, and another one goes on.
type story struct {
	name string
	// delay is for how long the task is submitted, or zero.
	delay time.Duration
	// checkOut takes it off its queue while it runs.
	checkOut bool
	// handBack makes a stop out of each failure.
	handBack bool
	// failures is how many attempts fail before one succeeds, each to be tried again
	// after patience.
	failures int
	patience time.Duration
	// cancelIn is the state in which it is called off, if any.
	cancelIn millrace.State
}

var stories = []story{
	{name: "parked twice", failures: 2, patience: 10 * time.Second},
	{name: "submitted for later", delay: 10 * time.Second},
	{name: "checked out", checkOut: true},
	{name: "checked out and handed back", checkOut: true, failures: 1},
	{name: "handed back at a stop", handBack: true, failures: 2},
	{name: "checked out and handed back at a stop", checkOut: true, handBack: true, failures: 1},
	{name: "cancelled while pending", cancelIn: millrace.Pending},
	{name: "cancelled while scheduled", cancelIn: millrace.Scheduled, delay: 20 * time.Second},
	{name: "cancelled while parked", cancelIn: millrace.Retrying, failures: 2, patience: 20 * time.Second},
	{name: "cancelled while it runs", cancelIn: millrace.Running},
	{name: "cancelled while checked out", cancelIn: millrace.Running, checkOut: true},
}

func TestDeathAtAnyWrite(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				watcher, js := open(t, b, streams.Config{AckWait: 5 * time.Second}), inspect(t, b)
				orphans := watcher.Orphans()
				orphans.Impatient()
				for n := 0; ; n += broker.Step() {
					l := &life{t: t, story: s, id: fmt.Sprintf("t%d", n), watcher: watcher, js: js, orphans: orphans, sweeping: make(chan struct{}, 1)}
					first := &broker.Mortal{Broker: b, Left: n, Before: func(string) {
						_, _ = l.look()
						l.sweep()
					}}
					l.live(first)
					if t.Failed() {
						t.Fatalf("so it went when the process died before write %d", n)
					}
					if !first.Died() {
						if t.Logf("it died before each of %d writes", n); n < 4 {
							t.Error("there must be more")
						}
						break
					}
				}
			})
		})
	}
}

// life is one run of a story.
type life struct {
	t       *testing.T
	story   story
	id      string
	watcher *streams.Store
	js      jetstream.JetStream

	orphans  *streams.Orphans
	sweeping chan struct{} // holds one while somebody does

	mu        sync.Mutex
	accepted  bool
	cancelled bool
	due       time.Time // not to be run before
}

// look looks the task up: once it is accepted it is always there.
func (l *life) look() (streams.Found, error) {
	l.mu.Lock()
	accepted := l.accepted
	l.mu.Unlock()
	f, err := l.watcher.Lookup(context.Background(), l.id)
	if accepted && (errors.Is(err, millrace.ErrNotFound) || errors.Is(err, millrace.ErrGone)) {
		l.t.Errorf("%s was accepted, and is %v", l.id, err)
	}
	return f, err
}

// sweep looks for orphans, and looks again at once. There are none.
func (l *life) sweep() {
	select {
	case l.sweeping <- struct{}{}:
	default:
		return
	}
	for range 2 {
		if back, lost, err := l.orphans.Sweep(context.Background()); err != nil || back+lost > 0 {
			l.t.Errorf("%d seem lost, and %d with their args, %v", back, lost, err)
		}
	}
	<-l.sweeping
}

func (l *life) live(way *broker.Mortal) {
	t := l.t
	store, stop := l.start(way)
	submitted := l.submit(store)
	revived := func() bool {
		if !way.Died() {
			return false
		}
		stop()
		way = &broker.Mortal{Broker: way.Broker, Left: math.MaxInt, Before: way.Before}
		store, stop = l.start(way)
		return true
	}
	for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(500 * time.Millisecond) {
		if ended := l.step(store); !revived() && ended {
			break
		}
		if !submitted {
			submitted = l.submit(store)
		}
	}
	f, err := l.watcher.Lookup(t.Context(), l.id)
	if err != nil || !f.Record.State.Final() {
		t.Errorf("after minutes it is %s, %v", f.Record.State, err)
	}
	l.checkEnd(f, revived)
	stop()
}

// step does what the story has to do from outside, and reports whether it is over.
func (l *life) step(store *streams.Store) bool {
	f, err := l.look()
	if err != nil {
		return false
	}
	if want := l.story.cancelIn; want != "" && (f.Record.State == want || l.cancelled) && !f.Record.State.Final() {
		l.cancelled = true
		_, _ = store.Cancel(l.t.Context(), l.id)
	}
	return f.Record.State.Final()
}

func (l *life) submit(store *streams.Store) bool {
	at := time.Now().Add(l.story.delay)
	l.mu.Lock()
	l.due = at
	l.mu.Unlock()
	err := store.SubmitAt(l.t.Context(), newTask(l.id), at)
	if err != nil && !errors.Is(err, millrace.ErrConflict) {
		return false
	}
	l.mu.Lock()
	l.accepted = true
	l.mu.Unlock()
	return true
}

// start starts a process, which moves what is due and works until stop is called.
func (l *life) start(way *broker.Mortal) (store *streams.Store, stop func()) {
	store, err := streams.Open(l.t.Context(), streams.Config{InProcess: way, AckWait: 5 * time.Second})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	due, err := store.PullDue(streams.ShardOf(l.id))
	if err != nil {
		l.t.Fatal(err)
	}
	running.Go(func() {
		for ctx.Err() == nil {
			got, err := due.Next(ctx, 10)
			if err != nil {
				time.Sleep(time.Second)
			}
			_ = store.Move(ctx, got)
		}
		_ = due.Close()
	})
	p, err := store.Pull("default")
	if err != nil {
		l.t.Fatal(err)
	}
	running.Go(func() {
		for ctx.Err() == nil && l.story.cancelIn != millrace.Pending {
			got, err := p.Next(ctx, 1)
			if err != nil {
				time.Sleep(time.Second)
			}
			for _, d := range got {
				_ = l.work(ctx, store, d) // it has died, or it is not its task any more
			}
		}
		_ = p.Close()
	})
	return store, func() {
		cancel()
		running.Wait()
		store.Close()
	}
}

// work is a worker's part.
func (l *life) work(ctx context.Context, store *streams.Store, d *streams.Delivery) error {
	if d.Task.ID != l.id { // of a run before: its acknowledgement was lost
		return d.Ack()
	}
	attempts := 0
	if r := d.Record; r != nil {
		if r.State.Final() {
			return d.Ack()
		}
		if wait := time.Until(r.NextAt); wait > 0 {
			l.t.Errorf("it came %s early", wait)
		}
		attempts = len(r.Attempts)
	}
	l.mu.Lock()
	if wait := time.Until(l.due); wait > 0 {
		l.t.Errorf("it came %s early", wait)
	}
	l.mu.Unlock()
	r := retrying(d, time.Now().Add(l.story.patience))
	if l.story.checkOut {
		running := r
		running.State, running.Attempts, running.NextAt = millrace.Running, r.Attempts[:attempts], time.Time{}
		if err := store.CheckOut(ctx, d, running); err != nil {
			return err
		}
	}
	for range 3 {
		time.Sleep(time.Second)
		if err := l.extend(ctx, store, d); err != nil {
			return err
		}
	}
	if attempts < l.story.failures {
		if l.story.handBack {
			return store.HandBack(ctx, d, r)
		}
		return store.Retry(ctx, d, r, l.story.patience)
	}
	r.State, r.NextAt, r.Attempts[attempts].Error = millrace.Succeeded, time.Time{}, ""
	return store.Finish(ctx, d, r, time.Hour)
}

func (l *life) extend(ctx context.Context, store *streams.Store, d *streams.Delivery) error {
	if d.CheckedOut() {
		return store.ExtendCheckedOut(ctx, d)
	}
	return store.Extend(ctx, []*streams.Delivery{d})
}

// checkEnd sees to it that the end is as it should be, and stays like that, also if
// the process dies only now.
func (l *life) checkEnd(f streams.Found, revived func() bool) {
	t := l.t
	if l.story.cancelIn != "" {
		if f.Record.State != millrace.Cancelled {
			t.Errorf("it was cancelled, and is %s", f.Record.State)
		}
	} else if f.Record.State != millrace.Succeeded || len(f.Record.Attempts) != l.story.failures+1 {
		t.Errorf("it ends as %s after %d attempts", f.Record.State, len(f.Record.Attempts))
	}
	for range 12 { // what the dead one had comes again
		time.Sleep(6 * time.Second)
		revived()
		if _, err := l.watcher.TrimDue(t.Context()); err != nil {
			t.Error(err)
		}
		if l.waiting() == 0 {
			break
		}
	}
	if n := l.waiting(); n > 0 {
		t.Errorf("%d messages wait for nothing", n)
	}
	if again, err := l.watcher.Lookup(t.Context(), l.id); err != nil || again.Version != f.Version {
		t.Errorf("its record was written again: %+v, %v", again, err)
	}
}

func (l *life) waiting() uint64 {
	return streamInfo(l.t, l.js, fmt.Sprintf("SCHEDULES_%d", streams.ShardOf(l.id))).State.Msgs
}
