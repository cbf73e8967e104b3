package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"millrace/streams"
	"millrace/test/broker"
)

// The example does what it says: it follows the feed, and goes on where it was.
func TestFeed(t *testing.T) {
	b := broker.New(t)
	store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	nc := broker.Inspect(t, b).Conn()
	happen := func(numbers ...int) {
		t.Helper()
		for _, n := range numbers {
			if _, err := store.Ledger().Commit(t.Context(), nil, []streams.Event{{OrderID: "o1", Number: n, Data: []byte(`{}`)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// follows runs the example until it has written these.
	follows := func(wants ...string) {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- run(ctx, nc, w)
			w.Close()
		}()
		lines := bufio.NewScanner(r)
		for _, want := range wants {
			if !lines.Scan() || !strings.HasSuffix(lines.Text(), " "+want+" {}") {
				t.Errorf("%q, want %s", lines.Text(), want)
			}
		}
		stop()
		for lines.Scan() {
			t.Errorf("%q is too much", lines.Text())
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	happen(1, 2)
	follows("order-events.o1.1", "order-events.o1.2")
	happen(3)
	follows("order-events.o1.3")
}
