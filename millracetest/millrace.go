package millracetest

import (
	"encoding/json"
	"path"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
)

// Millrace is a whole one, with one worker. Its methods fail the test if what they are for
// cannot be done; call them from the test's goroutine, not from handlers.
type Millrace struct {
	// Store is where tasks are submitted: for handlers that submit tasks of their own,
	// and for tests of what [Millrace.Submit] does not say.
	Store *streams.Store
	// Processor is the worker. Register handlers with it first: it begins to work when
	// [Millrace.Submit], [Millrace.Schedule], [Millrace.Wait] or [Millrace.Advance] is
	// called first.
	Processor *processor.Processor
	// Book is where schedules are written down.
	Book *scheduler.Book

	t     *testing.T
	start func()

	mu        sync.Mutex
	submitted []millrace.RawTask
	seen      map[string]bool // their ids
}

// Submit submits a task, with args as encoding/json encodes them, and returns its id.
func (m *Millrace) Submit(kind string, args any) (id string) {
	m.t.Helper()
	m.start()
	data, err := json.Marshal(args)
	if err != nil {
		m.t.Fatalf("args of %s: %v", kind, err)
	}
	task := millrace.RawTask{ID: millrace.NewID(), Kind: kind, Args: data, SubmittedAt: time.Now().UTC()}
	if err := m.Store.Submit(m.t.Context(), task); err != nil {
		m.t.Fatalf("submit %s: %v", kind, err)
	}
	return task.ID
}

// Schedule writes a schedule down, as a PUT to the API does.
func (m *Millrace) Schedule(s millrace.Schedule) {
	m.t.Helper()
	m.start()
	if _, err := m.Book.Put(m.t.Context(), s); err != nil {
		m.t.Fatalf("schedule %s: %v", s.Name, err)
	}
}

// waitsFor is how long Wait waits: seven days.
const waitsFor = 7 * 24 * time.Hour

// Wait lets time go on until a task is finished, however it ended, and returns its record.
// It gives up after a week: [Millrace.Advance] comes before it for what takes longer.
func (m *Millrace) Wait(id string) millrace.Record {
	m.t.Helper()
	m.start()
	until := time.Now().Add(waitsFor)
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		found, err := m.Store.Lookup(m.t.Context(), id)
		if err != nil {
			m.t.Fatalf("wait: %v", err)
		}
		r := found.Record
		if r.State.Final() {
			return r
		}
		if time.Now().After(until) {
			m.t.Fatalf("after %s the task %s (%s) is still %s: %s", waitsFor, id, r.Kind, r.State, r.Error)
		}
		if left := time.Until(r.NextAt); left > 0 {
			pause = left // nothing becomes of it before
		}
		time.Sleep(pause)
		if !r.NextAt.IsZero() {
			pause = time.Millisecond
		}
	}
}

// Result is Wait for a task that must succeed, with its result decoded.
func Result[T any](m *Millrace, id string) (result T) {
	m.t.Helper()
	r := m.Wait(id)
	if r.State != millrace.Succeeded {
		m.t.Fatalf("task %s (%s) has %s: %s", id, r.Kind, r.State, r.Error)
	}
	if len(r.Result) > 0 {
		if err := json.Unmarshal(r.Result, &result); err != nil {
			m.t.Fatalf("result of task %s (%s): %v", id, r.Kind, err)
		}
	}
	return result
}

// Advance lets that much time pass, and then waits for what has begun by then, as far as it
// needs no more time.
func (m *Millrace) Advance(d time.Duration) {
	m.t.Helper()
	m.start()
	time.Sleep(d)
	synctest.Wait()
}

// Submitted returns the tasks that were submitted so far and whose kind matches a glob, in
// which "*" is any run of characters, as in "mail.*": by the test, by handlers, by
// schedules, at once or for later. Each is there once, as it was when it was first seen, in the
// order in which they came.
func (m *Millrace) Submitted(kinds string) []millrace.RawTask {
	m.t.Helper()
	if _, err := path.Match(kinds, ""); err != nil {
		m.t.Fatalf("%q is no glob: %v", kinds, err)
	}
	synctest.Wait() // for the word of what was sent just now
	m.mu.Lock()
	defer m.mu.Unlock()
	var matching []millrace.RawTask
	for _, t := range m.submitted {
		if ok, _ := path.Match(kinds, t.Kind); ok { // the glob is a good one
			matching = append(matching, t)
		}
	}
	return matching
}

// note takes down a task that was sent somewhere.
func (m *Millrace) note(t millrace.RawTask) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.seen[t.ID] {
		m.seen[t.ID] = true
		m.submitted = append(m.submitted, t)
	}
}
