package processor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

func TestMain(m *testing.M) {
	if cfg := os.Getenv(childEnv); cfg != "" {
		var c childConfig
		err := json.Unmarshal([]byte(cfg), &c)
		if err == nil {
			err = c.work()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const echo = "test.echo"

func newTask(id, kind string) millrace.RawTask {
	return millrace.RawTask{ID: id, Kind: kind, Queue: "default", Args: json.RawMessage(`{"n":1}`), SubmittedAt: time.Now().UTC()}
}

// submit fails the test unless the tasks are accepted.
func submit(t *testing.T, store *streams.Store, tasks ...millrace.RawTask) {
	t.Helper()
	for i, err := range store.SubmitMany(t.Context(), tasks) {
		if err != nil {
			t.Fatalf("task %s: %v", tasks[i].ID, err)
		}
	}
}

// newProcessor has a handler for the kind "test.echo".
func newProcessor(t *testing.T, store *streams.Store, cfg processor.Config) *processor.Processor {
	t.Helper()
	if cfg.Worker == "" {
		cfg.Worker = "w"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	p := processor.New(store, cfg)
	handle(p, echo, func(_ context.Context, t millrace.RawTask) (any, error) { return t.Args, nil })
	return p
}

func handle(p *processor.Processor, kind string, fn func(context.Context, millrace.RawTask) (any, error)) {
	processor.Handle(p, kind, fn, processor.Kind{})
}

// start runs the processor until stop, or the end of the test.
func start(t *testing.T, p *processor.Processor) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the processor ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// patience is how long tests wait for what should come soon.
const patience = 30 * time.Second

// finished waits until the task's state is final and returns its record.
func finished(t *testing.T, store *streams.Store, id string) millrace.Record {
	t.Helper()
	return finishedIn(t, store, id, patience)
}

func finishedIn(t *testing.T, store *streams.Store, id string, patience time.Duration) millrace.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f, err := store.Wait(ctx, id)
	if err != nil || !f.Record.State.Final() {
		t.Fatalf("%s is not finished in %s but %q: %v", id, patience, f.Record.State, err)
	}
	return f.Record
}

// lookup returns what is known of the task now.
func lookup(t *testing.T, store *streams.Store, id string) millrace.Record {
	t.Helper()
	f, err := store.Lookup(t.Context(), id)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return f.Record
}

// wantRecord compares records; times may differ by what a delivery takes, and
// stacks by all but being there.
func wantRecord(t *testing.T, want, got millrace.Record) {
	t.Helper()
	diff := cmp.Diff(want, got,
		// What is parked comes back within a second of its time.
		cmpopts.EquateApproxTime(150*time.Millisecond+time.Duration(len(want.Attempts))*1100*time.Millisecond),
		cmpopts.IgnoreFields(millrace.Record{}, "Parked", "Deliveries", "Waits"), // they have tests of their own
		cmpopts.EquateEmpty(),
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Stack" },
			cmp.Comparer(func(a, b string) bool { return (a == "") == (b == "") })),
	)
	if diff != "" {
		t.Errorf("the record of %s (-want +got):\n%s", got.ID, diff)
	}
}

// record is that of a task that is submitted now and carried out by w, with an
// attempt for each error, "" for none, that starts so much later.
func record(task millrace.RawTask, state millrace.State, attempts ...attempt) millrace.Record {
	r := millrace.Record{
		ID: task.ID, Kind: task.Kind, Queue: task.Queue, State: state, Tags: task.Tags, SubmittedAt: task.SubmittedAt,
	}
	at := task.SubmittedAt
	for i, a := range attempts {
		at = at.Add(a.after)
		run := millrace.Attempt{Number: i + 1, StartedAt: at, EndedAt: at.Add(a.took), Worker: "w", Error: a.err}
		if a.panics {
			run.Stack = "somewhere"
		}
		at = run.EndedAt
		r.Attempts = append(r.Attempts, run)
		r.Error = a.err
	}
	if state.Final() {
		r.FinishedAt, r.ExpiresAt = at, at.Add(time.Hour)
	}
	return r
}

type attempt struct {
	after, took time.Duration
	err         string
	panics      bool
}

// eventually polls until what is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
