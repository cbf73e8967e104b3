package processor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/processor"
	"millrace/streams"
)

func TestTry(t *testing.T) {
	srv, err := embedded.Start(t.Context(), embedded.Config{DataDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	store, err := streams.Open(t.Context(), streams.Config{InProcess: srv})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	p := processor.New(store, processor.Config{})
	processor.Handle(p, "demo.echo", func(ctx context.Context, t millrace.Task[json.RawMessage]) (json.RawMessage, error) {
		return t.Args, nil
	}, processor.Kind{})
	const n = 100000
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = millrace.RawTask{ID: millrace.NewID(), Kind: "demo.echo", Args: json.RawMessage(fmt.Sprintf(`{"i":%d}`, i))}
	}
	start := time.Now()
	for _, err := range store.SubmitMany(t.Context(), tasks) {
		if err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("submit", float64(n)/time.Since(start).Seconds())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	start = time.Now()
	go func() { done <- p.Run(ctx) }()
	f, err := store.Wait(ctx, tasks[n-1].ID)
	fmt.Println("drain", float64(n)/time.Since(start).Seconds(), f, err)
	cancel()
	fmt.Println(<-done)
	for _, x := range tasks {
		f, err := store.Lookup(t.Context(), x.ID)
		if err != nil || f.Record.State != millrace.Succeeded {
			t.Fatal(f, err)
		}
	}
}
