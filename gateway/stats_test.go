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
			task := millrace.RawTask{ID: "task-" + string(rune('a'+round)), Kind: "demo.echo", Queue: "default", SubmittedAt: time.Now()}
			if err := store.Submit(t.Context(), task); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			for window := range statsWindows {
				g := &Gateway{server: &server{store: store}}
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
				if v.Total.Submitted != int64(round+1) || len(last.Queues) != 3 || v.Total.Failing != nil {
					t.Errorf("round %d, %s: %+v, %+v", round, window, v.Total, last)
				}
				if n := len(chartsOf(v)); n != 6 {
					t.Errorf("%d charts", n)
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
