package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"millrace/bench/load"
	"millrace/bench/workload"
)

// keys is how many keys share the tasks.
const keys = 1000

// keyed submits many tasks of some keys while the worker runs, and stops the clock when
// all are finished. Then it looks at whether those of a key ran one after the other, in
// the order in which they were accepted.
func keyed(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found, err := b.with(ctx, c, func(sys *system) (figures, error) {
		if err := warmUp(sys, b.scale.warmupTasks); err != nil {
			return nil, err
		}
		requests := make([][]byte, min(keys, b.scale.keyed))
		for i := range requests {
			requests[i] = load.Post("/v1/tasks", workload.Keyed(fmt.Sprintf("customer:%d", i)))
		}
		ids := make([]string, b.scale.keyed)
		accepted := make([]atomic.Bool, len(ids))
		after := make([]bool, len(ids)) // it was sent when the one before of its key was accepted
		run := load.Closed{
			Addr: sys.Addr, Connections: 256, Count: len(ids),
			Request: func(_ []byte, i int) []byte {
				after[i] = i >= len(requests) && accepted[i-len(requests)].Load()
				return requests[i%len(requests)]
			},
			Check: func(i, status int, body []byte) error {
				err := expect(http.StatusAccepted, status, body)
				if err == nil {
					ids[i], err = idIn(body)
				}
				accepted[i].Store(true)
				return err
			},
		}
		m, err := sys.meter()
		if err != nil {
			return nil, err
		}
		start := time.Now()
		result, err := run.Run()
		if err != nil {
			return nil, err
		}
		if result.Errors > 0 {
			return nil, result.Err
		}
		if err := sys.Await(b.scale.warmupTasks + len(ids)); err != nil {
			return nil, err
		}
		result.Took = time.Since(start)
		found, err := m.figures(result)
		if err != nil {
			return nil, err
		}
		return found, checkOrder(sys.Addr, ids, after, len(requests))
	})
	return map[string]figures{"keyed": found}, err
}

// checkOrder asks for every task, and compares those of a key: task i is of the key
// i modulo keys.
func checkOrder(addr string, ids []string, after []bool, keys int) error {
	type ran struct {
		i          int
		start, end time.Time
	}
	all := make([]ran, len(ids))
	check := load.Closed{
		Addr: addr, Connections: 64, Count: len(ids),
		Request: func(buf []byte, i int) []byte { return load.AppendGet(buf, "/v1/tasks/", ids[i]) },
		Check: func(i, status int, body []byte) error {
			if err := expect(http.StatusOK, status, body); err != nil {
				return err
			}
			var task struct {
				Attempts []struct {
					StartedAt time.Time `json:"started_at"`
					EndedAt   time.Time `json:"ended_at"`
				} `json:"attempts"`
			}
			if err := json.Unmarshal(body, &task); err != nil || len(task.Attempts) != 1 {
				return fmt.Errorf("not done in one attempt: %.300s", body)
			}
			all[i] = ran{i, task.Attempts[0].StartedAt, task.Attempts[0].EndedAt}
			return expectSucceeded(body)
		},
	}
	result, err := check.Run()
	if err != nil {
		return err
	}
	if result.Errors > 0 {
		return fmt.Errorf("%d of %d tasks, the first: %w", result.Errors, len(ids), result.Err)
	}
	for key := range keys {
		var of []ran
		for i := key; i < len(all); i += keys {
			of = append(of, all[i])
			if before := i - keys; before >= 0 && after[i] && all[i].start.Before(all[before].start) {
				return fmt.Errorf("%s ran before %s, which was accepted before it was sent", ids[i], ids[before])
			}
		}
		slices.SortFunc(of, func(a, b ran) int { return cmp.Compare(a.start.UnixNano(), b.start.UnixNano()) })
		for n, r := range of[1:] {
			if r.start.Before(of[n].end) {
				return fmt.Errorf("%s and %s of the same key ran at once", ids[r.i], ids[of[n].i])
			}
		}
	}
	return nil
}
