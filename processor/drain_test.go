package processor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// BenchmarkDrain empties a queue with a handler that does nothing.
func BenchmarkDrain(b *testing.B) {
	for _, size := range []int{1, 500} {
		b.Run(fmt.Sprintf("batches of %d", size), func(b *testing.B) {
			node := newBroker(b)
			store, err := streams.Open(b.Context(), streams.Config{InProcess: node})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			tasks := numbered("test.batch", b.N)
			for some := range slices.Chunk(tasks, 500) {
				if err := errors.Join(store.SubmitMany(b.Context(), some)...); err != nil {
					b.Fatal(err)
				}
			}
			p := processor.New(store, processor.Config{})
			if size > 1 {
				processor.HandleBatch(p, "test.batch", (&sizes{}).handle, processor.Batch{Size: size}, processor.Kind{})
			} else {
				processor.Handle(p, "test.batch", func(_ context.Context, t millrace.Task[int]) (int, error) { return t.Args, nil }, processor.Kind{})
			}
			records, err := inspect(b, node).Stream(b.Context(), "KV_results")
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			b.ResetTimer()
			go func() { ended <- p.Run(ctx) }()
			for records.CachedInfo().State.Msgs < uint64(b.N) {
				time.Sleep(5 * time.Millisecond)
				if _, err := records.Info(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
			stop()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}
