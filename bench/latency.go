package main

import (
	"context"
	"net/http"

	"millrace/bench/load"
	"millrace/bench/workload"
)

// latency submits a task every 10 ms, whatever became of those before, and asks for
// its result with a long poll. The time counts from when the task was due to when
// the result is here.
func latency(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found, err := b.with(ctx, c, func(sys *system) (figures, error) {
		if err := warmUp(sys, b.scale.warmupTasks); err != nil {
			return nil, err
		}
		m, err := sys.meter()
		if err != nil {
			return nil, err
		}
		result, err := load.Open{Addr: sys.Addr, Connections: 64, Rate: 100, Count: b.scale.latency, Job: submitAndWait}.Run()
		if err != nil {
			return nil, err
		}
		return m.figures(result)
	})
	return map[string]figures{"latency": found}, err
}

var submitRequest = load.Post("/v1/tasks", workload.Body())

func submitAndWait(conn *load.Conn, _ int) error {
	status, body, err := conn.Do(submitRequest)
	if err == nil {
		err = expect(http.StatusAccepted, status, body)
	}
	if err != nil {
		return err
	}
	id, err := idIn(body)
	if err != nil {
		return err
	}
	return awaitResult(conn, id)
}

// awaitResult asks for a task and expects it to succeed meanwhile.
func awaitResult(conn *load.Conn, id string) error {
	status, body, err := conn.Do(load.AppendGet(nil, "/v1/tasks/", id+"?wait=10s"))
	if err == nil {
		err = expect(http.StatusOK, status, body)
	}
	if err == nil {
		err = expectSucceeded(body)
	}
	return err
}
