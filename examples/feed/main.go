// Command feed follows what happens to the orders, with nothing but a NATS client: any
// program can, in any language that has one.
//
// Start Millrace (make run), then this beside it (go run ./examples/feed), and place an
// order. Stop it, place another, and start it again: it goes on where it was.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	url := nats.DefaultURL
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err == nil {
		defer nc.Close()
		err = run(ctx, nc, os.Stdout)
	}
	if err != nil {
		slog.Error("feed stopped", "error", err)
		os.Exit(1)
	}
}

// run writes a line for each event until ctx ends. The broker keeps the place where it
// is under the consumer's name: whoever has the same name shares the events with it,
// whoever has another gets them all.
func run(ctx context.Context, nc *nats.Conn, out io.Writer) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, "KV_orders", jetstream.ConsumerConfig{
		Durable:       "example-feed",
		FilterSubject: "order-events.>",
		AckPolicy:     jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := follow(consumer, out); err != nil {
			slog.Warn("the feed is interrupted", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// follow takes what comes in a second.
func follow(consumer jetstream.Consumer, out io.Writer) error {
	batch, err := consumer.Fetch(100, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		at, err := msg.Metadata()
		if err != nil {
			return err
		}
		// The sequence is the event's id, the same that a browser gets. An event whose
		// ack is lost comes a second time: what must not be done twice, do once for it.
		if _, err := fmt.Fprintln(out, at.Sequence.Stream, msg.Subject(), string(msg.Data())); err != nil {
			return err
		}
		if err := msg.Ack(); err != nil {
			return err
		}
	}
	return batch.Error()
}
