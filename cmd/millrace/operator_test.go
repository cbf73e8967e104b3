package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/jsm.go"
	"github.com/nats-io/nats.go"
)

// An operator looks inside with the stock nats command, which is built on jsm.go:
// the queues are there to see, each with its consumer, and a record is JSON under
// the task's id.
func TestOperatorLooksInside(t *testing.T) {
	node, api := startDev(t, "--queue", "critical:6,default:3,night:1")
	id := api.submit(t, `{"kind":"demo.echo","args":"hello"}`)
	if _, err := api.finished(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(node.says(t, natsAddress))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	manager, err := jsm.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	names, err := manager.StreamNames(nil)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	want := []string{"AUDIT", "DEAD", "HELD", "HISTORY", "KV_claims", "KV_control", "KV_keys", "KV_orders", "KV_results", "KV_schedules", "KV_unique", "KV_workers", "SCHEDULES_0", "SCHEDULES_1", "SCHEDULES_2", "SCHEDULES_3", "TASKS_critical", "TASKS_default", "TASKS_night", "TURNS"}
	if !slices.Equal(names, want) {
		t.Errorf("nats stream ls: %v, want %v", names, want)
	}
	consumer, err := manager.LoadConsumer("TASKS_default", "workers")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		state, err := consumer.LatestState()
		if err == nil && state.AckFloor.Stream != 1 {
			err = fmt.Errorf("acknowledged up to %d, want 1", state.AckFloor.Stream)
		}
		return err
	})
	results, err := manager.LoadStream("KV_results")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := results.ReadLastMessageForSubject("$KV.results." + id)
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ State, Kind string }
	if err := json.Unmarshal(msg.Data, &record); err != nil || record.State != "succeeded" || record.Kind != "demo.echo" {
		t.Errorf("nats kv get results %s: %s, %v", id, msg.Data, err)
	}
}
