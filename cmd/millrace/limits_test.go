package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"millrace"
)

// ranTask is when a task ran to its end.
type ranTask struct {
	ID       string
	State    string
	Attempts []millrace.Attempt
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
	accepted := make([][]string, keys)
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		inParallel(keys, keys, func(key int) {
			for len(accepted[key]) < each {
				r, err := api.send(ctx, http.MethodPost, "/v1/tasks", fmt.Sprintf(`{"kind":"demo.sleep","args":{"ms":20},"key":"customer:%d"}`, key))
				var task ranTask
				if err == nil && r.status == http.StatusAccepted {
					err = json.Unmarshal(r.body, &task)
				}
				switch {
				case ctx.Err() != nil:
					t.Error(err)
					return
				case task.ID != "":
					accepted[key] = append(accepted[key], task.ID)
				default: // it may have been accepted all the same
					time.Sleep(10 * time.Millisecond)
				}
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
	eventually(t, func() error {
		if s := broker.state(t, "HELD"); s.Msgs > 0 {
			return fmt.Errorf("%d still stand in a line", s.Msgs)
		}
		return nil
	})

	ran := map[string]millrace.Attempt{}
	type span struct {
		start bool
		at    time.Time
	}
	var all []span
	for _, id := range listed(ctx, t, api) {
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
		ran[id] = task.Attempts[0]
		all = append(all, span{true, task.Attempts[0].StartedAt}, span{false, task.Attempts[0].EndedAt})
	}
	for key, of := range accepted {
		var before millrace.Attempt
		for _, id := range of {
			if ran[id].StartedAt.Before(before.EndedAt) || ran[id].StartedAt.IsZero() {
				t.Errorf("of the key %d, %s began at %s, and the one before had ended at %s", key, id, ran[id].StartedAt, before.EndedAt)
			}
			before = ran[id]
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
	if t.Logf("%d tasks, %d at once at most", len(all)/2, most); most > limit || len(all)/2 < keys*each {
		t.Errorf("%d tasks ran, want %d or more, and %d at once, want %d at most", len(all)/2, keys*each, most, limit)
	}
}

// listed are the ids of all tasks, whatever became of them.
func listed(ctx context.Context, t *testing.T, api *client) (ids []string) {
	t.Helper()
	for after := ""; ; {
		var page struct {
			Tasks []ranTask `json:"tasks"`
			Next  string    `json:"next_cursor"`
		}
		r, err := api.send(ctx, http.MethodGet, "/v1/tasks?limit=200&after="+url.QueryEscape(after), "")
		if err == nil {
			err = json.Unmarshal(r.body, &page)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range page.Tasks {
			ids = append(ids, task.ID)
		}
		if after = page.Next; after == "" {
			return ids
		}
	}
}
