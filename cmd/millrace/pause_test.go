package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// TestKilledAroundPause kills a node again and again at any moment around a pause, of
// the queue and of the kind in turn, while tasks come in. A pause that was answered
// holds: nothing begins until it is over, and then nothing is lost, nor done twice.
func TestKilledAroundPause(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 4
	}
	chance := seeded(t)
	node, api := startDev(t, "--listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--ack-wait", "1s")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	submitting, stop := context.WithCancel(ctx)
	defer stop()
	submitted := make(chan []string, 1)
	go func() { submitted <- submitOnce(submitting, api) }()

	var held []string
	type pause struct{ from, to time.Time }
	var pauses []pause
	for k := range rounds {
		path := []string{"/v1/queues/default", "/v1/kinds/demo.echo"}[k%2]
		answered := make(chan bool, 1)
		go func() {
			r, err := api.send(ctx, http.MethodPost, path+"/pause", "")
			answered <- err == nil && r.status == http.StatusOK
		}()
		time.Sleep(time.Duration(chance.IntN(30)) * time.Millisecond)
		node.kill()
		if err := node.launch(); err != nil {
			t.Fatal(err)
		}
		node.says(t, apiAddress)
		if !<-answered { // it may have been done, or not
			if r := api.post(t, path+"/pause", ""); r.status != http.StatusOK {
				t.Fatal(r)
			}
			node.kill()
			if err := node.launch(); err != nil {
				t.Fatal(err)
			}
			node.says(t, apiAddress)
		}
		pauses = append(pauses, pause{from: time.Now()}) // the node was started since, and knew of it
		id := api.submit(t, `{"kind":"demo.echo","args":{"echo":true}}`)
		held = append(held, id)
		time.Sleep(300 * time.Millisecond)
		// It may be with a worker, which is to put it off: then it counts as running.
		if task := decode[shownTask](t, api.get(t, "/v1/tasks/"+id).body); task.State == "succeeded" || len(task.Attempts) > 0 {
			t.Errorf("round %d: %s was paused, and a task is %s", k, path, task.State)
		}
		pauses[k].to = time.Now()
		if chance.IntN(2) == 0 { // also the end of a pause can be in the middle of a crash
			go func() { _, _ = api.send(ctx, http.MethodPost, path+"/resume", "") }()
			node.kill()
			if err := node.launch(); err != nil {
				t.Fatal(err)
			}
			node.says(t, apiAddress)
		}
		if r := api.post(t, path+"/resume", ""); r.status != http.StatusOK {
			t.Fatal(r)
		}
	}
	stop()
	accepted := slices.Concat(held, <-submitted)
	for _, id := range accepted {
		task, err := api.finished(ctx, id)
		if err != nil || task.State != "succeeded" || successes(task) != 1 {
			t.Errorf("task %s: %+v, %v", id, task, err)
			continue
		}
		for _, a := range decode[ranTask](t, api.get(t, "/v1/tasks/"+id).body).Attempts {
			if slices.ContainsFunc(pauses, func(p pause) bool { return a.StartedAt.After(p.from) && a.StartedAt.Before(p.to) }) {
				t.Errorf("task %s began during a pause, at %s", id, a.StartedAt)
			}
		}
	}
	t.Logf("%d tasks were accepted", len(accepted))
}
