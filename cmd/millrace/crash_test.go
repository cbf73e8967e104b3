package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// startDev starts a node with the demo handlers, and returns it and a client.
func startDev(t *testing.T, flags ...string) (*process, *client) {
	t.Helper()
	p := start(t, "millrace", append([]string{"dev", "--listen", "127.0.0.1:0", "--nats-port", "0", "--data-dir", t.TempDir()}, flags...)...)
	return p, newClient(t, p.says(t, apiAddress))
}

// TestKilledNode kills a node twenty times while orders and tasks come in.
func TestKilledNode(t *testing.T) {
	orders, kills := scale()
	chance := seeded(t)
	node, api := startDev(t, "--listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--nats-port", fmt.Sprint(freePort(t)), "--ack-wait", "1s")
	broker := inspect(t, node.says(t, natsAddress))
	c := &campaign{gateways: []*client{api}, orders: orders}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	bought := make(chan error, 1)
	go func() { bought <- c.buy(ctx) }()
	submitting, stop := context.WithCancel(ctx)
	defer stop()
	submitted := make(chan []string, 1)
	go func() { submitted <- submitOnce(submitting, api) }()

	for k := range kills {
		c.until(t, orders*k/kills+chance.IntN(orders/kills), broker)
		node.kill()
		if err := node.launch(); err != nil {
			t.Fatal(err)
		}
		node.says(t, apiAddress)
	}
	if err := <-bought; err != nil {
		t.Fatal(err)
	}
	stop()
	c.verify(t, broker)
	accepted := <-submitted
	for _, id := range accepted {
		task, err := api.finished(t.Context(), id)
		if err != nil || task.State != "succeeded" || successes(task) != 1 || string(task.Result) != `{"echo":true}` {
			t.Errorf("task %s: %+v, %v", id, task, err)
		}
	}
	t.Logf("%d more tasks, submitted once, were accepted", len(accepted))
}

// submitOnce submits tasks, each one once whatever comes of it, until ctx ends, and
// returns the ids of those that were accepted.
func submitOnce(ctx context.Context, api *client) (accepted []string) {
	for ctx.Err() == nil {
		r, err := api.send(ctx, http.MethodPost, "/v1/tasks", `{"kind":"demo.echo","args":{"echo":true}}`)
		var task struct{ ID string }
		if err == nil && r.status == http.StatusAccepted && json.Unmarshal(r.body, &task) == nil {
			accepted = append(accepted, task.ID)
			continue
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return accepted
}
