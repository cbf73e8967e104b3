package gateway

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

// TestStatsGoOn lets everything be started anew: what was done before is still told.
func TestStatsGoOn(t *testing.T) {
	broker.Bubble(t, time.Now(), func(t *testing.T) {
		b := broker.New(t)
		for round := range 2 {
			store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			var keeping sync.WaitGroup
			keeping.Go(func() { _ = store.KeepHistory(ctx) })
			for range 2 {
				task := millrace.RawTask{ID: millrace.NewID(), Kind: "demo.echo", Queue: "default", SubmittedAt: time.Now()}
				if err := store.Submit(t.Context(), task); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
			}
			synctest.Wait()
			for window := range statsWindows {
				g := &Gateway{server: &server{store: store, cfg: Config{Disk: store.Storage}}}
				out, err := g.getStats(t.Context(), &statsInput{Window: window})
				if err != nil {
					t.Fatal(err)
				}
				v := out.Body
				last := statsPoint{}
				for _, p := range v.Points {
					if len(p.Queues) > 0 {
						last = p
					}
				}
				if v.Total.Submitted != int64(2*round+2) || len(last.Queues) != 3 || v.Total.Failing != nil {
					t.Errorf("round %d, %s: %+v, %+v", round, window, v.Total, last)
				}
				if n := len(chartsOf(v)); n != 6 {
					t.Errorf("%d charts", n)
				}
				if v.Disk == nil || v.Disk.Used == 0 {
					t.Errorf("nothing on the disk: %+v", v.Disk)
				}
				// One task has come within the minutes that are known, and none has gone.
				if in, out, known := rateOf(v.Points, "default"); window == "15m" && (!known || in < 0.003 || in > 0.02 || out != 0) {
					t.Errorf("round %d: %g/s come and %g/s go, known %t", round, in, out, known)
				}
			}
			stop()
			keeping.Wait()
			store.Close()
			b.Stop()
			b.Start()
		}
	})
}
