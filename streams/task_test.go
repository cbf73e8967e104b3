package streams_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/streams"
)

func TestTaskIsFoundWhateverBecameOfIt(t *testing.T) {
	store := open(t, newBroker(t), streams.Config{})
	want := millrace.RawTask{
		ID: "t1", Kind: "order.placed", Queue: "bulk", Args: json.RawMessage(`{"n":1}`),
		Options: millrace.Options{Tags: []string{"a"}}, SubmittedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC),
	}
	undated := millrace.RawTask{ID: "undated", Kind: "order.placed", Queue: "critical"}
	for i, err := range store.SubmitMany(t.Context(), []millrace.RawTask{want, undated}) {
		if err != nil {
			t.Fatalf("task %d: %v", i, err)
		}
	}
	same := func(when string) {
		t.Helper()
		got, err := store.Task(t.Context(), "order.placed", "t1")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", when, err, diff)
		}
	}
	same("pending")

	puller, err := store.Pull("bulk")
	if err != nil {
		t.Fatal(err)
	}
	var taken []*streams.Delivery
	for len(taken) == 0 {
		if taken, err = puller.Next(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	same("running")
	record := millrace.Record{ID: "t1", Kind: "order.placed", Queue: "bulk", State: millrace.Failed, FinishedAt: time.Now()}
	if err := store.Finish(t.Context(), taken[0], record, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := puller.Close(); err != nil {
		t.Fatal(err)
	}
	same("failed")

	if got, err := store.Task(t.Context(), "order.placed", "undated"); err != nil || got.SubmittedAt.IsZero() {
		t.Errorf("without a time of its own: %v, %v", got.SubmittedAt, err)
	}
	for _, c := range []struct {
		kind, id string
		want     error
	}{
		{"order.placed", "nobody", millrace.ErrNotFound},
		{"order.paid", "t1", millrace.ErrNotFound}, // the id of another kind
		{"order.placed", "*", millrace.ErrInvalid},
		{"*", "t1", millrace.ErrInvalid},
	} {
		if got, err := store.Task(t.Context(), c.kind, c.id); !errors.Is(err, c.want) {
			t.Errorf("%s %s: %+v, %v", c.kind, c.id, got, err)
		}
	}
}
