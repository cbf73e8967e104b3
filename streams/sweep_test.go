package streams_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// What waits of finished tasks is removed and counted, and nothing else, whatever
// somebody has written among the records.
func TestSweepWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		const n = 600 // more than are looked up at once
		for i := range n {
			if err := store.SubmitAt(t.Context(), newTask(fmt.Sprintf("t%d", i)), time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		final := 0
		for i, state := range []millrace.State{millrace.Succeeded, millrace.Failed, millrace.Cancelled, millrace.Running, millrace.Retrying} {
			for j := range 7 {
				id := fmt.Sprintf("t%d", 100*i+j)
				value, err := json.Marshal(millrace.Record{ID: id, Kind: "demo.echo", Queue: "default", State: state})
				if err == nil {
					_, err = js.Publish(t.Context(), "$KV.results."+id, value)
				}
				if err != nil {
					t.Fatal(err)
				}
				if state.Final() {
					final++
				}
			}
		}
		for id, value := range map[string]string{"t597": "{", "t598": `{"id":"*","state":"cancelled"}`, "t599": `{"id":"t50","state":"cancelled"}`} {
			if _, err := js.Publish(t.Context(), "$KV.results."+id, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int{final, 0} {
			if got, err := store.SweepWaiting(t.Context()); err != nil || got != uint64(want) {
				t.Errorf("swept %d, %v, want %d", got, err, want)
			}
		}
		left := 0
		for shard := range store.Shards() {
			left += int(streamInfo(t, js, fmt.Sprintf("SCHEDULES_%d", shard)).State.Msgs)
		}
		if want := n - final + store.Shards(); left != want { // each has its alarm
			t.Errorf("%d of %d wait, want %d", left, n, want)
		}
		// Nor does it matter when such a task is called off.
		if _, err := store.Cancel(t.Context(), "t598"); err == nil {
			t.Error("a record about * was taken for one of t598")
		}
		wantState(t, store, "t50", millrace.Scheduled)
	})
}

// A task that was called off stays so, though what waits of it could not be removed,
// for as long as that waits.
func TestCancelledForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		way := &broker.Mortal{Broker: b, Left: 3} // it sets the alarm, submits the task, and writes the record
		mortal, err := streams.Open(t.Context(), streams.Config{InProcess: way})
		if err != nil {
			t.Fatal(err)
		}
		defer mortal.Close()
		if err := mortal.SubmitAt(t.Context(), newTask("t"), time.Now().Add(5*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := mortal.Cancel(t.Context(), "t"); err != nil || !way.Died() {
			t.Fatal(err, way.Died())
		}
		store := open(t, b, streams.Config{})
		wantState(t, store, "t", millrace.Cancelled)
		time.Sleep(5 * time.Hour)
		move(t, store, due(t, store, 1))
		if d := take(t, pull(t, store, "default"), 1)[0]; d.Record == nil || d.Record.State != millrace.Cancelled {
			t.Errorf("it comes with %+v", d.Record)
		}
	})
}

// A task as large as the broker takes is too large to wait elsewhere: it stays in its
// queue, and is neither early nor lost.
func TestLargeTasksStayInTheirQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		large := submitLargest(t, store, newTask("large"))
		large.ID = "later"
		if err := store.SubmitAt(t.Context(), large, time.Now().Add(time.Hour)); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("submitted for later: %v", err)
		}
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		at := time.Now().Add(40 * time.Second)
		if err := store.Retry(t.Context(), d, retrying(d, at), 40*time.Second); err != nil {
			t.Fatal(err)
		}
		wantState(t, store, "large", millrace.Retrying)
		d = takeWithin(t, p, time.Minute)
		if time.Now().Before(at) || len(d.Record.Attempts) != 1 {
			t.Errorf("it came %s early, with %+v", time.Until(at), d.Record)
		}
		running := recordOf(d, millrace.Running)
		for range 5 {
			if err := store.CheckOut(t.Context(), d, running); err != nil || d.CheckedOut() {
				t.Errorf("checked out: %v, %v", d.CheckedOut(), err)
			}
			wantNothing(t, p, 20*time.Second)
		}
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour); err != nil {
			t.Error(err)
		}

		empty := newTask("empty")
		empty.Args = json.RawMessage{}
		if err := store.SubmitAt(t.Context(), empty, time.Now().Add(time.Second)); err != nil {
			t.Errorf("empty args: %v", err)
		}
	})
}

// submitLargest submits the task with args as large as the broker takes.
func submitLargest(t *testing.T, store *streams.Store, task millrace.RawTask) millrace.RawTask {
	t.Helper()
	for size := 1 << 20; size > 1<<19; size -= 16 {
		task.Args = bytes.Repeat([]byte("1"), size)
		if store.Submit(t.Context(), task) == nil {
			return task
		}
	}
	t.Fatal("the broker takes no large task")
	return task
}

// To the broker, what is due after 2262 was due long ago.
func TestTheFarFuture(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		for year, invalid := range map[int]bool{2261: false, 2262: true, 2400: true, 9999: true, 12000: true} {
			id := fmt.Sprintf("y%d", year)
			err := store.SubmitAt(t.Context(), newTask(id), time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC))
			if errors.Is(err, millrace.ErrInvalid) != invalid || err != nil && !invalid {
				t.Errorf("%d: %v", year, err)
			}
		}
		if err := store.Arm(t.Context(), streams.Fired{Name: "s", Due: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)}); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("armed: %v", err)
		}
		submit(t, store, newTask("snoozing"))
		d := take(t, pull(t, store, "default"), 1)[0]
		r := retrying(d, time.Time{})
		if err := store.Retry(t.Context(), d, r, math.MaxInt64); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantState(t, store, "y2261", millrace.Scheduled)
		wantState(t, store, "snoozing", millrace.Retrying)
		for shard := range store.Shards() {
			if got, err := pullDue(t, store, shard).Next(t.Context(), 10); err != nil || len(got) > 0 {
				t.Errorf("due are %d, %v", len(got), err)
			}
		}
	})
}

// A task may wait for longer than its record, or that of the place in the log where it
// came from, is kept.
func TestLookupWhenTheRecordHasExpired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		submit(t, store, newTask("t"))
		p := pull(t, store, "default")
		d := take(t, p, 1)[0]
		if err := store.Retry(t.Context(), d, retrying(d, time.Now().Add(time.Minute)), time.Minute); err != nil {
			t.Fatal(err)
		}
		forget := func() {
			t.Helper()
			stream, err := js.Stream(t.Context(), "KV_results")
			if err == nil {
				err = stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.results.t"))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		forget()
		wantState(t, store, "t", millrace.Retrying)
		all := due(t, store, 1)
		wantState(t, store, "t", millrace.Retrying)
		move(t, store, all)
		d = take(t, p, 1)[0]
		wantState(t, store, "t", millrace.Running)
		if d.Task.Tried != 1 {
			t.Errorf("it has forgotten its %d attempts", d.Task.Tried)
		}
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		forget()
		// What was moved is still among the due, and does not wait.
		if _, err := store.Lookup(t.Context(), "t"); !errors.Is(err, millrace.ErrGone) {
			t.Errorf("when all of it is forgotten: %v", err)
		}
	})
}

// A scheduler that was frozen moves what it was given long ago. Others have done so,
// and the task has gone on since, and the log was trimmed.
func TestMovedLongAgo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		submit(t, store, newTask("t"))
		p := pull(t, store, "default")
		park := func(wait time.Duration) {
			t.Helper()
			d := take(t, p, 1)[0]
			if err := store.Retry(t.Context(), d, retrying(d, time.Now().Add(wait)), wait); err != nil {
				t.Fatal(err)
			}
		}
		stale := func(all []*streams.Due) {
			t.Helper()
			time.Sleep(time.Second)
			if _, err := store.Trim(t.Context(), "default", streams.Retention{}); err != nil {
				t.Fatal(err)
			}
			before := streamInfo(t, js, "TASKS_default").State
			move(t, store, all)
			if after := streamInfo(t, js, "TASKS_default").State; before.Msgs != 0 || after.LastSeq != before.LastSeq {
				t.Errorf("it was moved again: %+v after %+v", after, before)
			}
		}
		park(time.Minute)
		first := due(t, store, 1)
		move(t, store, first)
		park(time.Hour)
		stale(first)
		second := due(t, store, 1)
		move(t, store, second)
		d := take(t, p, 1)[0]
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Succeeded), time.Hour); err != nil {
			t.Fatal(err)
		}
		stale(second)
	})
}
