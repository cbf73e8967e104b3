package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// schedule runs a scheduler until the test ends.
func schedule(t *testing.T, store *streams.Store) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- scheduler.New(store, scheduler.Config{}).Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// wantViolations fails the test unless the answer is 422 with a violation at each of
// those places, and no other.
func wantViolations(t *testing.T, resp *http.Response, p map[string]any, want ...string) {
	t.Helper()
	var got []string
	list, _ := p["errors"].([]any)
	for _, e := range list {
		got = append(got, e.(map[string]any)["location"].(string))
	}
	slices.Sort(want)
	slices.Sort(got)
	if resp.StatusCode != http.StatusUnprocessableEntity || resp.Header.Get("Content-Type") != mediaProblem || !slices.Equal(got, want) {
		t.Errorf("%d %v, want violations at %v", resp.StatusCode, p, want)
	}
}

func TestDelayedTask(t *testing.T) {
	url, store := running(t)
	schedule(t, store)
	asked := time.Now()
	body := `{"kind":"echo","args":1,"delay":"700ms"}`
	resp, accepted := ask(t, "POST", url+"/v1/tasks", body, "Idempotency-Key", "k")
	next, _ := time.Parse(time.RFC3339, accepted["next_at"].(string))
	if resp.StatusCode != http.StatusAccepted || accepted["state"] != "scheduled" || next.Nanosecond() != 0 || next.Before(asked.Add(699*time.Millisecond)) || next.After(asked.Add(3*time.Second)) {
		t.Fatalf("%d %v, asked at %s", resp.StatusCode, accepted, asked)
	}
	where := url + resp.Header.Get("Location")
	if _, task := ask(t, "GET", where, ""); task["state"] == "scheduled" && task["next_at"] != accepted["next_at"] {
		t.Errorf("%v, and it was said %v", task, accepted)
	}
	resp, again := ask(t, "POST", url+"/v1/tasks", body, "Idempotency-Key", "k")
	if resp.Header.Get("Idempotent-Replayed") != "true" || again["id"] != accepted["id"] || again["next_at"] != accepted["next_at"] {
		t.Errorf("sent again: %v %v", resp.Header, again)
	}
	_, task := ask(t, "GET", where+"?wait=5s", "")
	if task["state"] != "succeeded" {
		t.Fatal(task)
	}
	started, _ := time.Parse(time.RFC3339, task["attempts"].([]any)[0].(map[string]any)["started_at"].(string))
	if started.Before(next) {
		t.Errorf("started at %s, and was due at %s", started, next)
	}
}

// Ids are made that grow, also when the clock is put back: a delay does not.
func TestDelayWhenTheClockIsPutBack(t *testing.T) {
	broker.Bubble(t, time.Now(), func(*testing.T) {
		time.Sleep(time.Minute)
		millrace.NewID()
	})
	url, _ := running(t)
	_, accepted := ask(t, "POST", url+"/v1/tasks", `{"kind":"echo","args":1,"delay":"700ms"}`)
	id, _ := accepted["id"].(string)
	if made, _ := millrace.MadeAt(id); time.Until(made) < 30*time.Second {
		t.Fatalf("the id %s is of %s", id, made)
	}
	if next, _ := time.Parse(time.RFC3339, accepted["next_at"].(string)); time.Until(next) > 3*time.Second {
		t.Errorf("it is due at %s", next)
	}
}

// Whoever dies between writing a task and keeping the answer has another come with
// the same request: it is the same task, at the same time.
func TestDelayIsCountedFromTheFirstRequest(t *testing.T) {
	store := newStore(t)
	id := millrace.NewID()
	asked, _ := millrace.MadeAt(id)
	body := taskBody{Kind: "echo", Delay: "1h"}
	due, violations := body.due(asked)
	if wait := due.Sub(asked); len(violations) > 0 || wait < time.Hour || wait > time.Hour+time.Second {
		t.Fatal(wait, violations)
	}
	task := millrace.RawTask{ID: id, Kind: "echo", Queue: "default"}
	for range 2 {
		if err := taken(store.SubmitAt(t.Context(), task, due), true); err != nil {
			t.Error(err)
		}
	}
	if err := taken(store.SubmitAt(t.Context(), task, due), false); err == nil {
		t.Error("another's id was given twice")
	}
}

func TestRunAt(t *testing.T) {
	url, _ := running(t)
	for runAt, want := range map[string]string{
		"2001-01-01T00:00:00Z":                                    "pending",
		time.Now().Add(time.Hour).Format(time.RFC3339Nano):        "scheduled",
		time.Now().Add(365 * 24 * time.Hour).Format(time.RFC3339): "scheduled",
	} {
		resp, accepted := ask(t, "POST", url+"/v1/tasks", `{"kind":"echo","run_at":"`+runAt+`"}`)
		if resp.StatusCode != http.StatusAccepted || accepted["state"] != want || (accepted["next_at"] != nil) != (want == "scheduled") {
			t.Errorf("at %s: %d %v, want %s", runAt, resp.StatusCode, accepted, want)
		}
	}
	for fields, want := range map[string][]string{
		`"delay":"1s","run_at":"2027-01-01T00:00:00Z"`: {"body.delay", "body.run_at"},
		`"delay":"-1s"`:                   {"body.delay"},
		`"delay":"8784h1s"`:               {"body.delay"},
		`"delay":"soon","timeout":"long"`: {"body.delay", "body.timeout"},
		`"run_at":"tomorrow"`:             {"body.run_at"},
		`"run_at":"2027-01-01"`:           {"body.run_at"},
		`"run_at":"2027-01-01T9:00:00Z"`:  {"body.run_at"},
		`"run_at":"9999-01-01T00:00:00Z"`: {"body.run_at"},
		`"run_at":1`:                      {"body.run_at"},
	} {
		resp, p := ask(t, "POST", url+"/v1/tasks", `{"kind":"echo",`+fields+`}`)
		wantViolations(t, resp, p, want...)
	}
}

func TestCancelTask(t *testing.T) {
	url, store := running(t)
	cancel := func(id string) (*http.Response, map[string]any) { return ask(t, "DELETE", url+"/v1/tasks/"+id, "") }
	submit := func(body string) string {
		_, accepted := ask(t, "POST", url+"/v1/tasks", body)
		return accepted["id"].(string)
	}
	for _, body := range []string{`{"kind":"nobody.knows.it"}`, `{"kind":"echo","delay":"1h"}`} {
		id := submit(body)
		for range 2 {
			if resp, task := cancel(id); resp.StatusCode != http.StatusOK || task["state"] != "cancelled" || task["finished_at"] == nil {
				t.Errorf("%s: %d %v", body, resp.StatusCode, task)
			}
		}
		if _, task := ask(t, "GET", url+"/v1/tasks/"+id, ""); task["state"] != "cancelled" {
			t.Errorf("%s: afterwards %v", body, task)
		}
	}
	id := submit(`{"kind":"echo"}`)
	if f, err := store.Wait(t.Context(), id); err != nil || f.Record.State != millrace.Succeeded {
		t.Fatal(f, err)
	}
	resp, p := cancel(id)
	if resp.StatusCode != http.StatusConflict || p["state"] != "succeeded" || p["type"] != problemType("finished") {
		t.Errorf("%d %v", resp.StatusCode, p)
	}
	for id, status := range map[string]int{"never": 404, "a.b": 422, "*": 422} {
		if resp, p := cancel(id); resp.StatusCode != status {
			t.Errorf("%s: %d %v", id, resp.StatusCode, p)
		}
	}
}

func TestListTasks(t *testing.T) {
	url, store := running(t)
	_, first := ask(t, "POST", url+"/v1/tasks", `{"kind":"echo","args":"secret","tags":["a"]}`)
	if _, err := store.Wait(t.Context(), first["id"].(string)); err != nil {
		t.Fatal(err)
	}
	_, second := ask(t, "POST", url+"/v1/tasks", `{"kind":"mail.send","queue":"bulk","delay":"1h"}`)
	_, third := ask(t, "POST", url+"/v1/tasks", `{"kind":"nobody.knows.it","queue":"critical","args":{"to":"Ann"}}`)
	list := func(query string) (ids []string, next string) {
		_, page := ask(t, "GET", url+"/v1/tasks"+query, "")
		for _, task := range page["tasks"].([]any) {
			ids = append(ids, task.(map[string]any)["id"].(string))
			if task.(map[string]any)["result"] != nil {
				t.Errorf("%s: %v", query, task)
			}
		}
		next, _ = page["next_cursor"].(string)
		return ids, next
	}
	one, two := first["id"].(string), second["id"].(string)
	for query, want := range map[string][]string{
		"?kind=echo": {one}, "?queue=bulk": {two}, "?state=scheduled": {two}, "?state=succeeded": {one}, "?state=failed": nil, "?limit=1&kind=mail.send": {two},
		"?tag=a": {one}, "?tag=b": nil, "?q=SECRET": {one}, "?q=ann": {third["id"].(string)}, "?q=nowhere": nil, "?error=no+handler&state=failed": nil,
		"?kind=mail.send&since=2126-01-01T00:00:00Z": nil, "?kind=mail.send&until=2126-01-01T00:00:00Z": {two},
	} {
		if ids, _ := list(query); !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", query, ids, want)
		}
	}
	ids, next := list("?limit=1&queue=default")
	for next != "" {
		var more []string
		more, next = list("?limit=1&queue=default&after=" + next)
		ids = append(ids, more...)
	}
	if !slices.Contains(ids, one) || slices.Contains(ids, two) {
		t.Errorf("page by page: %v", ids)
	}
	for query, want := range map[string]string{
		"?state=lost": "query.state", "?limit=0": "query.limit", "?limit=201": "query.limit", "?limit=x": "query.limit",
		"?kind=A": "query.kind", "?queue=*": "query.queue", "?after=x": "query.after", "?order=age": "query.order",
		"?since=noon": "query.since", "?until=1": "query.until",
	} {
		resp, p := ask(t, "GET", url+"/v1/tasks"+query, "")
		wantViolations(t, resp, p, want)
	}
}

// The body of a problem that is only about cancelling is described as well.
func TestProblemIsDescribed(t *testing.T) {
	url, _ := running(t)
	_, api := ask(t, "GET", url+"/openapi.json", "")
	text, err := json.Marshal(api["components"].(map[string]any)["schemas"].(map[string]any)["Problem"])
	if err != nil {
		t.Fatal(err)
	}
	var schema struct{ Properties map[string]any }
	if err := json.Unmarshal(text, &schema); err != nil || schema.Properties["state"] == nil || schema.Properties["detail"] == nil {
		t.Errorf("%s, %v", text, err)
	}
}
