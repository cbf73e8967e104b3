package main

import (
	"context"
	"time"

	"millrace/bench/workload"
)

// checkedShare is one in how many drained tasks is looked at.
const checkedShare = 10

// drain queues many tasks, then starts the worker, and stops the clock when all
// are finished.
func drain(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found := map[string]figures{}
	_, err := b.with(ctx, c, func(sys *system) (figures, error) {
		n := b.scale.drain / max(1, c.fewer)
		if err := sys.Fill(n); err != nil {
			return nil, err
		}
		m, err := sys.meter()
		if err != nil {
			return nil, err
		}
		watch := watchPeak(sys.PIDs)
		start := time.Now()
		if err := sys.Work(); err != nil {
			return nil, err
		}
		if err := sys.Await(n); err != nil {
			return nil, err
		}
		took := time.Since(start)
		if found["draining"], err = watch.end(); err != nil {
			return nil, err
		}
		if found["drain"], err = m.stop(); err != nil {
			return nil, err
		}
		found["drain"][rate.name] = float64(n) / took.Seconds()
		return nil, checkSucceeded(sys.Addr, someIDs(n))
	})
	return found, err
}

func someIDs(n int) []string {
	var ids []string
	for i := 0; i < n; i += checkedShare {
		ids = append(ids, workload.ID(i))
	}
	return ids
}
