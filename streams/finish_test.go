package streams_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"millrace"
	"millrace/streams"
)

// A final record is never overwritten, whoever comes later with whatever.
func TestTheFirstFinishStands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: 2 * time.Second})
		submit(t, store, newTask("t1"))
		p := pull(t, store, "default")
		slow := take(t, p, 1)[0]
		fast := take(t, p, 1)[0] // once the first lease is over
		want := recordOf(fast, millrace.Succeeded)
		if err := store.Finish(t.Context(), fast, want, time.Hour); err != nil {
			t.Fatal(err)
		}
		want.ExpiresAt = want.FinishedAt.Add(time.Hour)
		late := recordOf(slow, millrace.Succeeded)
		late.Result = json.RawMessage(`"another"`)
		for what, err := range map[string]error{
			"finish":      store.Finish(t.Context(), slow, late, time.Hour),
			"fail":        store.Finish(t.Context(), slow, recordOf(slow, millrace.Failed), time.Hour),
			"retry":       store.Retry(t.Context(), slow, recordOf(slow, millrace.Retrying), 0),
			"note":        store.Note(t.Context(), slow, recordOf(slow, millrace.Running)),
			"cancel":      store.Finish(t.Context(), slow, recordOf(slow, millrace.Cancelled), time.Hour),
			"finish anew": store.Finish(t.Context(), slow, late, time.Hour),
		} {
			if !errors.Is(err, millrace.ErrConflict) {
				t.Errorf("%s: got %v, want ErrConflict", what, err)
			}
		}
		if diff := cmp.Diff(want, wantState(t, store, "t1", millrace.Succeeded).Record); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		wantNothing(t, p, time.Minute)
	})
}

// Whoever noted that it runs a task has it; a holder from before has lost it.
func TestANoteTakesTheTaskOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{AckWait: 2 * time.Second})
		submit(t, store, newTask("t1"))
		p := pull(t, store, "default")
		before := take(t, p, 1)[0]
		after := take(t, p, 1)[0]
		running := recordOf(after, millrace.Running)
		running.Lost = 1
		if err := store.Note(t.Context(), after, running); err != nil {
			t.Fatal(err)
		}
		if err := store.Finish(t.Context(), before, recordOf(before, millrace.Succeeded), time.Hour); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("the holder before: got %v, want ErrConflict", err)
		}
		if diff := cmp.Diff(running, wantState(t, store, "t1", millrace.Running).Record); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := store.Finish(t.Context(), after, recordOf(after, millrace.Succeeded), time.Hour); err != nil {
			t.Errorf("the holder: %v", err)
		}
	})
}

// A failed task lies among the dead before its record says so, and the record
// before the task is taken off the queue.
func TestFailedTasksAreBuriedFirst(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	task := newTask("t1")
	task.MaxAttempts = 3
	submit(t, store, task)
	d := take(t, pull(t, store, "default"), 1)[0]

	js := inspect(t, b)
	written := make(chan *nats.Msg, 8)
	for _, subject := range []string{"dead.>", "$KV.results.>", "$JS.ACK.>"} {
		if _, err := js.Conn().ChanSubscribe(subject, written); err != nil {
			t.Fatal(err)
		}
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	r := recordOf(d, millrace.Failed)
	if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"dead.default.demo-echo.t1", "$KV.results.t1", "$JS.ACK.TASKS_default.workers."} {
		select {
		case m := <-written:
			if !strings.HasPrefix(m.Subject, want) {
				t.Errorf("wrote to %s, want %s first", m.Subject, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing written to %s", want)
		}
	}

	var dead streams.Dead
	if err := json.Unmarshal(lastMessage(t, js, "DEAD", "dead.default.demo-echo.t1").Data, &dead); err != nil {
		t.Fatal(err)
	}
	r.ExpiresAt = r.FinishedAt.Add(time.Hour)
	if diff := cmp.Diff(streams.Dead{Task: task, Record: r}, dead); diff != "" {
		t.Errorf("the dead task (-want +got):\n%s", diff)
	}

	// A worker may die between the two writes, so that the next buries it again.
	if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := streamInfo(t, js, "DEAD").State.Msgs; n != 1 {
		t.Errorf("%d are dead, want one", n)
	}
}

// What is no task is kept as it came, and the log keeps what is too large for that.
func TestMalformedMessagesAreKept(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	js := inspect(t, b)
	messages := []struct{ subject, body, kept string }{
		{"tasks.default.mail-send.t1", "no JSON \xff\x00", "no JSON \xff\x00"},
		{"tasks.default.whatever", `{"id":"x"}`, `{"id":"x"}`},
		{"tasks.default.else", "", ""},
		{"tasks.default.mail-send.t2", "{" + strings.Repeat("x", 900<<10), ""},
	}
	for _, m := range messages {
		if _, err := js.Publish(t.Context(), m.subject, []byte(m.body)); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range take(t, pull(t, store, "default"), len(messages)) {
		r := recordOf(d, millrace.Failed)
		r.Error = d.Malformed.Error()
		if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
			t.Fatal(err)
		}
		var dead streams.Dead
		subject := "dead.default." + strings.ReplaceAll(d.Task.Kind, ".", "-") + "." + d.Task.ID
		if err := json.Unmarshal(lastMessage(t, js, "DEAD", subject).Data, &dead); err != nil {
			t.Fatal(err)
		}
		m := messages[i]
		if string(dead.Body) != m.kept || dead.Truncated != (m.kept != m.body) || dead.Record.Error != r.Error {
			t.Errorf("%s: kept %d bytes, %.50q, truncated %v", m.subject, len(dead.Body), dead.Body, dead.Truncated)
		}
	}
	if n := streamInfo(t, js, "DEAD").State.Msgs; n != uint64(len(messages)) {
		t.Errorf("%d of %d are kept", n, len(messages))
	}
}

// The largest task that is taken can also fail, with the largest record.
func TestLargeTasksCanFail(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	task := newTask("large")
	size := 1 << 20
	for ; size > 256<<10; size -= 16 << 10 {
		task.Args = json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
		err := store.Submit(t.Context(), task)
		if err == nil {
			break
		}
		if !errors.Is(err, millrace.ErrInvalid) {
			t.Fatal(err)
		}
	}
	if size <= 256<<10 {
		t.Fatal("tasks of 256 KiB must be taken")
	}
	d := take(t, pull(t, store, "default"), 1)[0]
	r := recordOf(d, millrace.Failed)
	r.Error = strings.Repeat("e", 200<<10)
	if err := store.Finish(t.Context(), d, r, time.Hour); err != nil {
		t.Errorf("a task of %d bytes: %v", size, err)
	}
	r.Error = strings.Repeat("e", 2<<20)
	if err := store.Note(t.Context(), d, r); !errors.Is(err, millrace.ErrInvalid) {
		t.Errorf("a record of 2 MiB: got %v, want ErrInvalid", err)
	}
}

// The records of many deliveries come in one go, however large they are.
func TestLargeRecordsAreFound(t *testing.T) {
	const n = 90
	b := newBroker(t)
	store := open(t, b, streams.Config{AckWait: time.Second})
	fill(t, store, n)
	p := pull(t, store, "default")
	for _, d := range take(t, p, n) {
		r := recordOf(d, millrace.Succeeded)
		r.Result = json.RawMessage(`"` + strings.Repeat("r", 900<<10) + `"`)
		if err := store.Note(t.Context(), d, r); err != nil { // and its acknowledgement is lost
			t.Fatal(err)
		}
	}
	for _, d := range take(t, p, n) {
		if d.Record == nil || len(d.Record.Result) < 900<<10 {
			t.Fatalf("%s came without its record", d.Task.ID)
		}
	}
}

// A record that cannot be read is its own task's trouble only.
func TestUnreadableRecord(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	fill(t, store, 3)
	js := inspect(t, b)
	if _, err := js.Publish(t.Context(), "$KV.results.t1", []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	for i, d := range take(t, pull(t, store, "default"), 3) {
		if d.Task.ID != fmt.Sprintf("t%d", i) || (d.Malformed != nil) != (i == 1) {
			t.Errorf("%s: malformed %v", d.Task.ID, d.Malformed)
		}
		if err := store.Finish(t.Context(), d, recordOf(d, millrace.Failed), time.Hour); err != nil {
			t.Errorf("%s: %v", d.Task.ID, err)
		}
	}
	wantState(t, store, "t1", millrace.Failed)
}
