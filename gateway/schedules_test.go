package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestScheduleFromEndToEnd(t *testing.T) {
	url, store := running(t)
	schedule(t, store)
	where := url + "/v1/schedules/heartbeat"
	resp, made := ask(t, "PUT", where, `{"kind":"echo","args":{"n":1},"every":"1s","tags":["a"],"backoff":{"policy":"list","delays":["1s"]},"timeout":"90s"}`)
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != "/v1/schedules/heartbeat" || made["next_at"] == nil {
		t.Fatalf("%d %v", resp.StatusCode, made)
	}
	for _, inside := range []string{"generation", "revision"} {
		if made[inside] != nil {
			t.Errorf("%s is shown: %v", inside, made)
		}
	}
	delete(made, "next_at")
	delete(made, "next")
	want := map[string]any{
		"name": "heartbeat", "kind": "echo", "args": map[string]any{"n": json.Number("1")}, "every": "1s", "tags": []any{"a"},
		"backoff": map[string]any{"policy": "list", "delays": []any{"1s"}}, "timeout": "1m30s", "skipped": json.Number("0"),
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var shown map[string]any
	for deadline := time.Now().Add(20 * time.Second); shown["last_task"] == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never was due: %v", shown)
		}
		_, shown = ask(t, "GET", where, "")
	}
	next := shown["next"].([]any)
	if len(next) != 5 || next[0] != shown["next_at"] || shown["last_at"] == nil {
		t.Errorf("%v", shown)
	}
	if _, task := ask(t, "GET", url+"/v1/tasks/"+shown["last_task"].(string)+"?wait=5s", ""); task["state"] != "succeeded" || task["tags"].([]any)[0] != "a" {
		t.Errorf("its task: %v", task)
	}
	if resp, again := ask(t, "PUT", where, `{"kind":"echo","cron":"0 3 * * *","zone":"Europe/Berlin","overlap":"skip"}`); resp.StatusCode != http.StatusOK || again["every"] != nil || again["cron"] != "0 3 * * *" {
		t.Errorf("replaced: %d %v", resp.StatusCode, again)
	}
	if _, all := ask(t, "GET", url+"/v1/schedules", ""); len(all["schedules"].([]any)) != 1 {
		t.Errorf("listed: %v", all)
	}
	if resp, _ := ask(t, "DELETE", where, ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("cancelled: %d", resp.StatusCode)
	}
	for _, request := range []string{"GET ", "DELETE ", "POST /run"} {
		method, path, _ := strings.Cut(request, " ")
		if resp, p := ask(t, method, where+path, ""); resp.StatusCode != http.StatusNotFound || p["detail"] != "schedule heartbeat: not found" {
			t.Errorf("%s when it is gone: %d %v", request, resp.StatusCode, p)
		}
	}
	if _, all := ask(t, "GET", url+"/v1/schedules", ""); len(all["schedules"].([]any)) != 0 {
		t.Errorf("listed: %v", all)
	}
}

func TestRunSchedule(t *testing.T) {
	url, _ := running(t)
	where := url + "/v1/schedules/yearly"
	ask(t, "PUT", where, `{"kind":"echo","args":7,"cron":"@yearly"}`)
	resp, first := ask(t, "POST", where+"/run", "", "Idempotency-Key", "k")
	if resp.StatusCode != http.StatusAccepted || resp.Header.Get("Location") != "/v1/tasks/"+first["id"].(string) || first["queue"] != "default" {
		t.Fatalf("%d %v", resp.StatusCode, first)
	}
	resp, again := ask(t, "POST", where+"/run", "", "Idempotency-Key", "k")
	if resp.Header.Get("Idempotent-Replayed") != "true" || again["id"] != first["id"] {
		t.Errorf("again: %v", again)
	}
	if _, other := ask(t, "POST", where+"/run", ""); other["id"] == first["id"] {
		t.Errorf("without a key: %v", other)
	}
	if _, task := ask(t, "GET", url+"/v1/tasks/"+first["id"].(string)+"?wait=5s", ""); task["result"] != json.Number("7") {
		t.Errorf("%v", task)
	}
	// A page from elsewhere can make a browser send this, since it has no body.
	for _, header := range [][]string{{"Origin", "http://elsewhere.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}} {
		if resp, p := ask(t, "POST", where+"/run", "", header...); resp.StatusCode != http.StatusForbidden || resp.Header.Get("Content-Type") != mediaProblem {
			t.Errorf("%v: %d %v", header, resp.StatusCode, p)
		}
	}
	for _, header := range [][]string{{"Origin", url}, {"Sec-Fetch-Site", "same-origin", "Origin", "http://proxy.example"}, {"Sec-Fetch-Site", "none"}} {
		if resp, p := ask(t, "POST", where+"/run", "", header...); resp.StatusCode != http.StatusAccepted {
			t.Errorf("%v: %d %v", header, resp.StatusCode, p)
		}
	}
}

func TestSchedulesThatAreRefused(t *testing.T) {
	url, _ := running(t)
	for body, want := range map[string][]string{
		`{"kind":"a"}`: {"body"},
		`{"kind":"a","every":"1m","cron":"* * * * *"}`: {"body"},
		`{"every":"1m"}`:                                {"body"}, // kind is missing: huma says so of the object
		`{"kind":"a","every":"1ms"}`:                    {"body.every"},
		`{"kind":"a","every":"1500ms"}`:                 {"body.every"},
		`{"kind":"a","every":"often"}`:                  {"body.every"},
		`{"kind":"a","every":"1m","zone":"UTC"}`:        {"body.zone"},
		`{"kind":"a","cron":"61 * * * *"}`:              {"body.cron"},
		`{"kind":"a","cron":"0 0 30 2 *"}`:              {"body.cron"},
		`{"kind":"a","cron":"CRON_TZ=UTC * * * * *"}`:   {"body.cron"},
		`{"kind":"a","cron":"1 1 1 1 x","zone":"Mars"}`: {"body.cron", "body.zone"},
		`{"kind":"a","cron":"@daily","zone":"Local"}`:   {"body.zone"},
		`{"kind":"a","at":"2001-01-01T00:00:00Z"}`:      {"body.at"},
		`{"kind":"a","at":"9999-01-01T00:00:00Z"}`:      {"body.at"},
		`{"kind":"a","at":"noon"}`:                      {"body.at"},
		`{"kind":"a","cron":"@daily","queue":"nope"}`:   {"body.queue"},
		`{"kind":"A","queue":"*","every":"x","overlap":"y","max_attempts":0,"timeout":"z","delay":"1s","generation":"g"}`: {
			"body.kind", "body.queue", "body.every", "body.overlap", "body.max_attempts", "body.timeout", "body.delay", "body.generation",
		},
	} {
		resp, p := ask(t, "PUT", url+"/v1/schedules/s", body)
		wantViolations(t, resp, p, want...)
	}
	resp, p := ask(t, "PUT", url+"/v1/schedules/a.b", `{"kind":"a","every":"1m"}`)
	wantViolations(t, resp, p, "path.name")
	if resp, p := ask(t, "PUT", url+"/v1/schedules/s", `{"kind":"a","every":"1m","every":"2m"}`); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a key twice: %d %v", resp.StatusCode, p)
	}
	if _, all := ask(t, "GET", url+"/v1/schedules", ""); len(all["schedules"].([]any)) != 0 {
		t.Errorf("something was written down: %v", all)
	}
}
