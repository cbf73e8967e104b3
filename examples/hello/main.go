// Command hello is a worker of one's own: it says hello to whoever a task names.
//
// Start Millrace (make run), then this beside it (go run ./examples/hello), and
// give it something to do:
//
//	curl -s http://127.0.0.1:8080/v1/tasks -H 'Content-Type: application/json' \
//	  -d '{"kind":"hello","args":{"name":"Ada"}}'
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	url := "nats://127.0.0.1:4222"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	if err := run(ctx, streams.Config{URL: url, Logger: slog.Default()}); err != nil {
		slog.Error("hello stopped", "error", err)
		os.Exit(1)
	}
}

// run works until ctx ends.
func run(ctx context.Context, broker streams.Config) error {
	store, err := streams.Open(ctx, broker)
	if err != nil {
		return err
	}
	defer store.Close()
	p := processor.New(store, processor.Config{Concurrency: 8, Logger: slog.Default()})
	processor.Handle(p, "hello", hello, processor.Kind{MaxAttempts: 3})
	slog.Info("hello waits for tasks", "kind", "hello")
	return p.Run(ctx)
}

// Args are what a task of the kind "hello" carries.
type Args struct {
	Name string `json:"name"`
}

// Greeting is what comes of it.
type Greeting struct {
	Text string `json:"text"`
}

func hello(_ context.Context, t millrace.Task[Args]) (Greeting, error) {
	if t.Args.Name == "" {
		// Trying again would not help.
		return Greeting{}, millrace.Permanent(errors.New("there is nobody to greet"))
	}
	return Greeting{Text: fmt.Sprintf("Hello, %s!", t.Args.Name)}, nil
}
