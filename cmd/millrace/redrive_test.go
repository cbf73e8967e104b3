package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// A gateway is killed at random while it redrives many, and so is at times the node where
// they run. Each task is redriven once: it runs once more, succeeds, and none is left
// among the dead.
func TestKilledWhileRedriving(t *testing.T) {
	tasks, kills := 600, 12
	if testing.Short() {
		tasks, kills = 120, 3
	}
	chance := seeded(t)
	node, _ := startDev(t, "--nats-port", fmt.Sprint(freePort(t)), "--ack-wait", "1s")
	gateway, api := startGateway(t, &broker{url: node.says(t, natsAddress)}, "--ack-wait", "1s")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	ids := make([]string, tasks)
	inParallel(16, tasks, func(i int) { // the first attempt fails, and there is no second one
		ids[i] = api.submit(t, `{"kind":"demo.fail","args":{"times":1},"max_attempts":1}`)
	})
	for _, id := range ids {
		if task, err := api.finished(ctx, id); err != nil || task.State != "failed" {
			t.Fatalf("%+v, %v", task, err)
		}
	}
	const redrive = `{"all":true,"limit":1000,"rate":1000}`
	for k := range kills {
		redriving := make(chan struct{})
		go func() {
			defer close(redriving)
			_, _ = api.send(ctx, http.MethodPost, "/v1/dead/redrive", redrive) // it dies
		}()
		time.Sleep(time.Duration(chance.IntN(tasks*1000/kills)) * time.Microsecond)
		gateway.kill()
		<-redriving
		if k%3 == 0 {
			node.kill()
			if err := node.launch(); err != nil {
				t.Fatal(err)
			}
		}
		if err := gateway.launch(); err != nil {
			t.Fatal(err)
		}
		gateway.says(t, apiAddress)
	}
	eventually(t, func() error { // whoever was interrupted begins again
		r := api.post(t, "/v1/dead/redrive", redrive)
		done := decode[struct {
			Redriven int
			Refused  []any
			Next     string `json:"next_cursor"`
			Stopped  string
		}](t, r.body)
		if r.status != http.StatusOK || len(done.Refused) > 0 || done.Next != "" || done.Stopped != "" {
			return fmt.Errorf("redrive: %s", r)
		}
		return nil
	})
	for _, id := range ids {
		if task, err := api.finished(ctx, id); err != nil || task.State != "succeeded" {
			t.Fatalf("%+v, %v", task, err)
		}
		task := decode[struct {
			Attempts []any
			Redrives int
		}](t, api.get(t, "/v1/tasks/"+id).body)
		if len(task.Attempts) != 2 || task.Redrives != 1 {
			t.Errorf("task %s was redriven %d times and made %d attempts", id, task.Redrives, len(task.Attempts))
		}
	}
	if r := api.get(t, "/v1/dead"); len(decode[struct{ Tasks []any }](t, r.body).Tasks) > 0 {
		t.Errorf("among the dead are %s", r)
	}
}
