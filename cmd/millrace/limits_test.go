package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// ranTask is when a task ran to its end.
type ranTask struct {
	ID       string
	State    string
	Attempts []struct {
		StartedAt time.Time `json:"started_at"`
		EndedAt   time.Time `json:"ended_at"`
	}
}

// A node is killed at random while tasks come in and run under limits: no key has two
// at once or out of order, the kind never has more than its limit, and none is left.
func TestKilledUnderLimits(t *testing.T) {
	const keys, limit = 6, 4
	each, kills := 40, 12
	if testing.Short() {
		each, kills = 8, 2
	}
	chance := seeded(t)
	node, api := startDev(t, "--listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--nats-port", fmt.Sprint(freePort(t)), "--ack-wait", "1s",
		"--limit", fmt.Sprintf("kind:demo.*=%d", limit))
	broker := inspect(t, node.says(t, natsAddress))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ids := make([][]string, keys)
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		inParallel(keys, keys, func(key int) {
			for n := range each {
				var task ranTask
				if err := poll(func() error { // as often as it takes
					r, err := api.send(ctx, http.MethodPost, "/v1/tasks", fmt.Sprintf(`{"kind":"demo.sleep","args":{"ms":20},"key":"customer:%d"}`, key),
						"Idempotency-Key", fmt.Sprintf("%d-%d", key, n))
					if err == nil {
						err = json.Unmarshal(r.body, &task)
					}
					if err != nil || r.status != http.StatusAccepted {
						return fmt.Errorf("submit: %s, %w", r, err)
					}
					return nil
				}); err != nil {
					t.Error(err)
					return
				}
				ids[key] = append(ids[key], task.ID)
			}
		})
	}()
	for range kills {
		time.Sleep(time.Duration(chance.IntN(300)) * time.Millisecond) // whenever that is
		node.kill()
		if err := node.launch(); err != nil {
			t.Fatal(err)
		}
		node.says(t, apiAddress)
	}
	<-submitted

	type span struct {
		id    string
		start bool
		at    time.Time
	}
	var all []span
	for key, of := range ids {
		var before ranTask
		for _, id := range of {
			if _, err := api.finished(ctx, id); err != nil {
				t.Fatal(err)
			}
			var task ranTask
			r, err := api.send(ctx, http.MethodGet, "/v1/tasks/"+id, "")
			if err == nil {
				err = json.Unmarshal(r.body, &task)
			}
			if err != nil || task.State != "succeeded" || len(task.Attempts) != 1 {
				t.Fatalf("%s: %s, %v", id, r, err)
			}
			ran := task.Attempts[0]
			if before.ID != "" && ran.StartedAt.Before(before.Attempts[0].EndedAt) {
				t.Errorf("of the key %d, %s began %s before %s had ended", key, id, before.Attempts[0].EndedAt.Sub(ran.StartedAt), before.ID)
			}
			before = task
			all = append(all, span{id, true, ran.StartedAt}, span{id, false, ran.EndedAt})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return a.at.Compare(b.at) })
	running, most := 0, 0
	for _, s := range all {
		if running--; s.start {
			running += 2
		}
		most = max(most, running)
	}
	if t.Logf("%d tasks, %d at once at most", len(all)/2, most); most > limit || len(all)/2 != keys*each {
		t.Errorf("%d tasks ran, want %d, and %d at once, want %d at most", len(all)/2, keys*each, most, limit)
	}
	eventually(t, func() error {
		if s := broker.state(t, "HELD"); s.Msgs > 0 {
			return fmt.Errorf("%d still stand in a line", s.Msgs)
		}
		return nil
	})
}
