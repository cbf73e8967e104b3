package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"millrace/bench/load"
	"millrace/bench/workload"
)

// unique sends submissions that each have a unique key of their own, and as many plain
// ones before and after them, with the worker not started.
func unique(connections int) func(context.Context, *bench, config) (map[string]figures, error) {
	name := fmt.Sprintf("unique%d", connections)
	return func(ctx context.Context, b *bench, c config) (map[string]figures, error) {
		found, err := b.with(ctx, c, func(sys *system) (figures, error) {
			var keys atomic.Int64
			body := workload.Body()
			plain := submission(sys.Addr, connections)
			keyed := plain
			keyed.Request = func([]byte, int) []byte {
				return load.Post("/v1/tasks", fmt.Appendf(nil, `{"unique":{"key":"bench-%d"},%s`, keys.Add(1), body[1:]))
			}
			keyed.Check = func(_, status int, body []byte) error { return expect(http.StatusAccepted, status, body) }
			var rates []float64
			var used figures
			for i, run := range []load.Closed{plain, keyed, plain} {
				m, err := sys.meter()
				if err != nil {
					return nil, err
				}
				run.Warmup, run.For = b.scale.warmup, b.scale.submit
				result, err := run.Run()
				if err != nil {
					return nil, err
				}
				got, err := m.figures(result)
				if err != nil {
					return nil, err
				}
				if rates = append(rates, result.Rate()); i == 1 {
					used = got
				}
			}
			used[share.name] = 100 * rates[1] / ((rates[0] + rates[2]) / 2)
			return used, nil
		})
		return map[string]figures{name: found}, err
	}
}
