package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"millrace/bench/load"
)

// finish submits many tasks while the worker runs, and stops the clock when all are
// finished. Then it looks at each of them.
func finish(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found, err := b.with(ctx, c, func(sys *system) (figures, error) {
		if err := warmUp(sys, b.scale.warmupTasks); err != nil {
			return nil, err
		}
		ids := make([]string, b.scale.finish/max(1, c.fewer))
		m, err := sys.meter()
		if err != nil {
			return nil, err
		}
		start := time.Now()
		result, err := submitAll(sys.Addr, ids)
		if err != nil {
			return nil, err
		}
		if err := sys.Await(b.scale.warmupTasks + len(ids)); err != nil {
			return nil, err
		}
		result.Took = time.Since(start)
		found, err := m.figures(result)
		if err != nil {
			return nil, err
		}
		return found, checkSucceeded(sys.Addr, ids)
	})
	return map[string]figures{"finish": found}, err
}

// warmUp starts the worker and has it do a few tasks.
func warmUp(sys *system, tasks int) error {
	if err := sys.Work(); err != nil {
		return err
	}
	result, err := submitAll(sys.Addr, make([]string, tasks))
	if err != nil {
		return err
	}
	if result.Errors > 0 {
		return fmt.Errorf("warm-up: %w", result.Err)
	}
	return sys.Await(tasks)
}

// submitAll submits as many tasks as ids has places, and fills it.
func submitAll(addr string, ids []string) (*load.Result, error) {
	run := submission(addr, 256)
	run.Count = len(ids)
	run.Check = func(i, status int, body []byte) error {
		err := expect(http.StatusAccepted, status, body)
		if err == nil {
			ids[i], err = idIn(body)
		}
		return err
	}
	return run.Run()
}

// idIn finds the id in the answer to a submission; to decode the JSON would cost
// the server some of its cores.
func idIn(body []byte) (string, error) {
	_, rest, found := bytes.Cut(body, []byte(`"id":"`))
	end := bytes.IndexByte(rest, '"')
	if !found || end < 1 {
		return "", fmt.Errorf("no id in %.200s", body)
	}
	return string(rest[:end]), nil
}

// checkSucceeded asks for every task.
func checkSucceeded(addr string, ids []string) error {
	check := load.Closed{
		Addr: addr, Connections: 64, Count: len(ids),
		Request: func(buf []byte, i int) []byte { return load.AppendGet(buf, "/v1/tasks/", ids[i]) },
		Check: func(i, status int, body []byte) error {
			if err := expect(http.StatusOK, status, body); err != nil {
				return fmt.Errorf("task %s: %w", ids[i], err)
			}
			return expectSucceeded(body)
		},
	}
	result, err := check.Run()
	if err != nil {
		return err
	}
	if result.Errors > 0 {
		return fmt.Errorf("%d of %d tasks have not succeeded, the first: %w", result.Errors, len(ids), result.Err)
	}
	return nil
}

func expectSucceeded(body []byte) error {
	if !bytes.Contains(body, []byte(`"state":"succeeded"`)) {
		return fmt.Errorf("not succeeded: %.300s", body)
	}
	return nil
}
