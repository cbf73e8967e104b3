package embedded_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace/embedded"
	"millrace/test/broker"
)

func TestBubble(t *testing.T) {
	dir := t.TempDir()
	broker.Bubble(t, time.Now(), func(t *testing.T) {
		cfg := embedded.Config{DataDir: dir, Port: -1}
		server := start(t, cfg)
		js := broker.Inspect(t, server)
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEEP", Subjects: []string{"keep"}})
		if err != nil {
			t.Fatal(err)
		}
		consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "keep", []byte("message")); err != nil {
			t.Fatal(err)
		}

		msg := next(t, consumer)
		if err := msg.NakWithDelay(time.Hour); err != nil {
			t.Fatal(err)
		}
		nakked := time.Now()
		msg = next(t, consumer)
		if got := time.Since(nakked); got < time.Hour || got > time.Hour+time.Minute {
			t.Errorf("came back after %v, want an hour", got)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}

		js.Conn().Close()
		server.Shutdown()
		holds(t, broker.Inspect(t, start(t, cfg)), 1)
	})
}

func next(t *testing.T, consumer jetstream.Consumer) jetstream.Msg {
	t.Helper()
	msg, err := consumer.Next(jetstream.FetchMaxWait(2 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// A start that hangs, here in its log, is left behind with the lock, which it gives back once it comes to its end.
func TestStartAbandoned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	broker.Bubble(t, time.Now(), func(t *testing.T) {
		hang := make(chan struct{})
		cfg := embedded.Config{DataDir: dir, Port: -1}
		hanging := cfg
		hanging.Logger = onLine("Starting JetStream", func() { <-hang })

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := embedded.Start(ctx, hanging); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that time was up", err)
		}
		if got := time.Since(began); got < time.Minute || got > 2*time.Minute {
			t.Errorf("gave up after %v, want a minute and a little patience", got)
		}
		if _, ok := errors.AsType[*embedded.LockedError](refused(t, cfg)); !ok {
			t.Error("the directory is free while a server starts on it")
		}
		close(hang)
		synctest.Wait()
		start(t, cfg)
	})
}
