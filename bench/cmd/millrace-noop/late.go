package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// notLater is how late what is due may be before it counts as lost.
const notLater = 90 * time.Second

// Late waits until n tasks of schedules are in the log, and compares when each came there
// with when it was due, which its args say: it returns how many seconds the latest was
// late. One that was early, or came twice, is an error.
func (s *system) Late(ctx context.Context, n int) (float64, error) {
	consumer, err := s.log.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return 0, err
	}
	seen := make(map[string]bool, n)
	var latest time.Duration
	for deadline := time.Now().Add(notLater); len(seen) < n; {
		batch, err := consumer.Fetch(min(n-len(seen), 1000), jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return 0, err
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return 0, err
			}
			var t millrace.Task[struct{ Due int64 }]
			if err := json.Unmarshal(m.Data(), &t); err != nil {
				return 0, err
			}
			late := meta.Timestamp.Sub(time.Unix(t.Args.Due, 0))
			if late < 0 || seen[t.ID] {
				return 0, fmt.Errorf("task %s came %s late, before: %v", t.ID, late, seen[t.ID])
			}
			seen[t.ID], latest = true, max(latest, late)
			deadline = time.Now().Add(notLater)
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("only %d of %d came", len(seen), n)
		}
	}
	return latest.Seconds(), nil
}
