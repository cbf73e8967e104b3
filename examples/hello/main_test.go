package main

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// The example does what it says: a task goes in, a greeting comes out.
func TestHello(t *testing.T) {
	b := broker.New(t)
	store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, stop := context.WithCancel(t.Context())
	worker := make(chan error, 1)
	go func() { worker <- run(ctx, streams.Config{InProcess: b}) }()

	for _, c := range []struct {
		args   string
		state  millrace.State
		result string
		err    string
	}{
		{`{"name":"Ada"}`, millrace.Succeeded, `{"text":"Hello, Ada!"}`, ""},
		{`{}`, millrace.Failed, "", "there is nobody to greet"},
	} {
		id := millrace.NewID()
		if err := store.Submit(t.Context(), millrace.RawTask{ID: id, Kind: "hello", Args: json.RawMessage(c.args), SubmittedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		waiting, done := context.WithTimeout(t.Context(), 20*time.Second)
		found, err := store.Wait(waiting, id)
		done()
		if err != nil {
			t.Fatal(err)
		}
		if r := found.Record; r.State != c.state || string(r.Result) != c.result || r.Error != c.err {
			t.Errorf("args %s: %s %s %q, want %s %s %q", c.args, r.State, r.Result, r.Error, c.state, c.result, c.err)
		}
	}
	stop()
	if err := <-worker; err != nil {
		t.Error(err)
	}
}
