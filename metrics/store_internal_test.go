package metrics

import (
	"context"
	"testing"
	"time"

	"millrace/embedded"
	"millrace/streams"
	"millrace/test/broker"
)

// Nobody who scrapes waits for a broker that does not answer, apart from the first.
func TestScrapeDoesNotWait(t *testing.T) {
	broker.Bubble(t, time.Now(), func(t *testing.T) {
		b := broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})
		store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		told := 0
		o := &ofStore{store: store, log: func(error) { told++ }}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); o.run(ctx) }()
		defer func() { stop(); <-ended }()

		if s := o.scrape(); !s.ok || len(s.depths.Queues) == 0 {
			t.Fatalf("it does not know: %+v", s)
		}
		b.Stop()
		for range 10 {
			time.Sleep(3 * time.Second)
			start := time.Now()
			s := o.scrape()
			if waited := time.Since(start); waited != 0 {
				t.Errorf("a scrape has waited for %s", waited)
			}
			if since := time.Since(s.at); since > depthsAge+lookTime {
				t.Errorf("the broker was not asked for %s", since)
			}
		}
		if s := o.seen.Load(); s.ok || told != 1 {
			t.Errorf("ok %t, and it was told %d times", s.ok, told)
		}
		time.Sleep(scrapedFor + depthsAge)
		idle := o.seen.Load()
		time.Sleep(time.Minute)
		if o.seen.Load() != idle {
			t.Error("it is asked, and nobody scrapes")
		}
	})
}
