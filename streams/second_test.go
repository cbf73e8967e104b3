package streams_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// moving moves what is due, as schedulers do, until stop is called.
func moving(t *testing.T, store *streams.Store) (stop func()) {
	t.Helper()
	end := make(chan struct{})
	var running sync.WaitGroup
	for shard := range store.Shards() {
		p := pullDue(t, store, shard)
		running.Go(func() {
			defer func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}()
			for {
				select {
				case <-end:
					return
				case <-t.Context().Done():
					return
				default:
				}
				got, err := p.Next(t.Context(), 500)
				if err == nil {
					err = store.Move(t.Context(), got)
				}
				if err != nil && !errors.Is(err, millrace.ErrQueueFull) && !errors.Is(err, millrace.ErrInvalid) {
					t.Error(err)
				}
			}
		})
	}
	return func() {
		close(end)
		running.Wait()
	}
}

// later submits tasks for a time.
func later(t *testing.T, store *streams.Store, at time.Time, ids ...string) {
	t.Helper()
	var writing sync.WaitGroup
	for _, id := range ids {
		writing.Go(func() {
			if err := store.SubmitAt(t.Context(), newTask(id), at); err != nil {
				t.Error(err)
			}
		})
	}
	writing.Wait()
}

// left is what lies in the streams of what waits.
func left(t *testing.T, b *broker.Broker, store *streams.Store) (n uint64) {
	t.Helper()
	js := inspect(t, b)
	for shard := range store.Shards() {
		n += streamInfo(t, js, fmt.Sprintf("SCHEDULES_%d", shard)).State.Msgs
	}
	return n
}

// However many wait for the same second, and however they are spread, each comes
// once, and nothing is left of them.
func TestManyDueAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{Async: true})
		var ids []string
		for i := range 6000 { // more than one look in each shard
			ids = append(ids, fmt.Sprintf("t%d", i))
		}
		for i := 0; len(ids) < 7200; i++ { // more than one look in one drawer
			if id := fmt.Sprintf("same%d", i); streams.ShardOf(id) == 2 && streams.DrawerOf(id) == "a7" {
				ids = append(ids, id)
			}
		}
		at := time.Now().Add(20 * time.Second)
		later(t, store, at, ids...)
		defer moving(t, store)()
		time.Sleep(time.Until(at) - time.Millisecond)
		if state := streamInfo(t, inspect(t, b), "TASKS_default").State; state.LastSeq != 0 {
			t.Errorf("%d came early", state.LastSeq)
		}
		time.Sleep(10 * time.Second)
		if state := streamInfo(t, inspect(t, b), "TASKS_default").State; state.Msgs != uint64(len(ids)) || state.LastSeq != uint64(len(ids)) {
			t.Errorf("%d came, of which %d are left, want %d", state.LastSeq, state.Msgs, len(ids))
		}
		if _, err := store.TrimDue(t.Context()); err != nil {
			t.Error(err)
		}
		if n := left(t, b, store); n > 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

// An id is taken once, whatever it waits for.
func TestWaitingIDsAreTakenOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		at := time.Now().Add(time.Hour)
		later(t, store, at, "t")
		for _, wait := range []time.Duration{0, time.Minute, -time.Minute} {
			if err := store.SubmitAt(t.Context(), newTask("t"), at.Add(wait)); !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("again, %s from then: %v", wait, err)
			}
		}
	})
}

// A task whose second has come before it is written is moved all the same.
func TestWrittenTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		defer moving(t, store)()
		slow, err := streams.Open(t.Context(), streams.Config{InProcess: late{b}})
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		later(t, slow, time.Now().Add(3500*time.Millisecond), "t")
		time.Sleep(3 * time.Second)
		wantState(t, store, "t", millrace.Pending)
	})
}

// late is a way to the broker on which tasks that wait need 4 seconds.
type late struct{ *broker.Broker }

func (l late) InProcessConn() (net.Conn, error) {
	conn, err := l.Broker.InProcessConn()
	if err != nil {
		return nil, err
	}
	c := lateConn{Conn: conn, sent: make(chan []byte, 1000)}
	go func() {
		for p := range c.sent {
			if bytes.Contains(p, []byte("PUB waiting.")) {
				time.Sleep(4 * time.Second)
			}
			if _, err := conn.Write(p); err != nil {
				return
			}
		}
	}()
	return c, nil
}

type lateConn struct {
	net.Conn
	sent chan []byte
}

func (c lateConn) Write(p []byte) (int, error) {
	c.sent <- bytes.Clone(p)
	return len(p), nil
}

func (c lateConn) Close() error {
	defer func() { _ = recover() }() // it is closed twice
	close(c.sent)
	return c.Conn.Close()
}

// What waits without an alarm, or was forgotten when that rang, is found by the sweep.
func TestSweepFindsWhatIsOverdue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		defer moving(t, store)()
		later(t, store, time.Now().Add(5*time.Second), "t", "u", "v")
		js := inspect(t, b)
		for shard := range store.Shards() {
			stream, err := js.Stream(t.Context(), fmt.Sprintf("SCHEDULES_%d", shard))
			if err == nil {
				err = stream.Purge(t.Context(), jetstream.WithPurgeSubject("schedules.*.second.*"))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		wantState(t, store, "t", millrace.Scheduled)
		if n, err := store.SweepWaiting(t.Context()); n != 0 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
		time.Sleep(3 * time.Second)
		for _, id := range []string{"t", "u", "v"} {
			wantState(t, store, id, millrace.Pending)
		}
	})
}

// In one second, what cannot be read is dropped, what belongs to a queue that is not
// known here waits, and so does what has no room; the rest goes on, and nothing that
// waits is lost.
func TestOneSecondOfManyKinds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		elsewhere := open(t, b, streams.Config{Queues: []string{"default", "elsewhere"}})
		store := open(t, b, streams.Config{Queues: []string{"default", "full"}, MaxQueueBytes: 1 << 20})
		for i := 0; ; i++ {
			task := newTask(fmt.Sprintf("full%d", i))
			task.Queue, task.Args = "full", []byte(`"`+strings.Repeat("x", max(1, 200_000>>i))+`"`)
			if err := store.Submit(t.Context(), task); errors.Is(err, millrace.ErrQueueFull) && i > 20 {
				break
			}
		}
		stop := moving(t, store)
		at := time.Now().Add(10 * time.Second).Truncate(time.Second)
		var all []string
		for i := range 40 {
			task := newTask(fmt.Sprintf("t%d", i))
			task.Queue = []string{"default", "full", "elsewhere"}[i%3]
			if err := elsewhere.SubmitAt(t.Context(), task, at); err != nil && task.Queue != "full" {
				t.Fatal(err)
			} else if task.Queue == "full" {
				if err := store.SubmitAt(t.Context(), task, at); err != nil && !errors.Is(err, millrace.ErrConflict) {
					t.Fatal(err)
				}
			}
			all = append(all, task.ID)
		}
		js := inspect(t, b)
		for shard := range store.Shards() {
			for _, id := range []string{"*", ">", "broken", "t0"} {
				if _, err := js.Publish(t.Context(), fmt.Sprintf("waiting.%d.00.%d.%s", shard, at.Unix(), id), []byte("{")); err != nil && id != ">" {
					t.Fatal(err)
				}
			}
		}
		state := func(id string) millrace.State {
			for _, s := range []*streams.Store{store, elsewhere} {
				if f, err := s.Lookup(t.Context(), id); err == nil && f.Record.State != millrace.Scheduled {
					return f.Record.State
				}
			}
			return millrace.Scheduled
		}
		time.Sleep(15 * time.Second)
		for i, id := range all {
			want := millrace.Scheduled
			if i%3 == 0 {
				want = millrace.Pending
			}
			if got := state(id); got != want {
				t.Errorf("%s is %s, want %s", id, got, want)
			}
		}
		if err := js.DeleteStream(t.Context(), "TASKS_full"); err != nil {
			t.Fatal(err)
		}
		open(t, b, streams.Config{Queues: []string{"default", "full"}})
		time.Sleep(time.Minute)
		stop()
		defer moving(t, elsewhere)()
		time.Sleep(time.Minute)
		for _, id := range all {
			if got := state(id); got != millrace.Pending {
				t.Errorf("at last %s is %s", id, got)
			}
		}
		if _, err := store.TrimDue(t.Context()); err != nil {
			t.Error(err)
		}
		if n := left(t, b, store); n > 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}
