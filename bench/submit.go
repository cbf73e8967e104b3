package main

import (
	"context"
	"fmt"
	"net/http"

	"millrace/bench/load"
	"millrace/bench/workload"
)

// submit sends submissions for a while, with the worker not started.
func submit(connections int) func(context.Context, *bench, config) (map[string]figures, error) {
	name := fmt.Sprintf("submit%d", connections)
	return func(ctx context.Context, b *bench, c config) (map[string]figures, error) {
		found, err := b.with(ctx, c, func(sys *system) (figures, error) {
			m, err := sys.meter()
			if err != nil {
				return nil, err
			}
			run := submission(sys.Addr, connections)
			run.Warmup, run.For = b.scale.warmup, b.scale.submit
			result, err := run.Run()
			if err != nil {
				return nil, err
			}
			return m.figures(result)
		})
		return map[string]figures{name: found}, err
	}
}

// submission is a run of submissions that checks their status.
func submission(addr string, connections int) load.Closed {
	request := load.Post("/v1/tasks", workload.Body())
	return load.Closed{
		Addr: addr, Connections: connections,
		Request: func([]byte, int) []byte { return request },
		Check:   func(_, status int, body []byte) error { return expect(http.StatusAccepted, status, body) },
	}
}

func expect(want, status int, body []byte) error {
	if status != want {
		return fmt.Errorf("status %d instead of %d: %.200s", status, want, body)
	}
	return nil
}

// figures ends the meter and says what a run found out; it is the error if there
// was any.
func (m *meter) figures(r *load.Result) (figures, error) {
	used, err := m.stop()
	if err != nil {
		return nil, err
	}
	if r.Errors > 0 {
		return nil, fmt.Errorf("%d errors beside %d good answers, the first: %w", r.Errors, r.Answers, r.Err)
	}
	return used.add(figures{
		rate.name: r.Rate(),
		p50.name:  inMilliseconds(r.Latency.Quantile(0.50)),
		p99.name:  inMilliseconds(r.Latency.Quantile(0.99)),
	}), nil
}
