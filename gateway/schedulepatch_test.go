package gateway

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/scheduler"
)

func TestMergePatch(t *testing.T) {
	// The examples of RFC 7396, appendix A, of objects, and numbers that no float holds.
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"n":1}`, `{"n":123456789012345678901234567890}`, `{"n":123456789012345678901234567890}`},
	} {
		got, err := mergePatch([]byte(c.target), []byte(c.patch))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %s: %s, %v, want %s", c.target, c.patch, got, err, c.want)
		}
	}
}

func TestPatchSchedule(t *testing.T) {
	url, _ := running(t)
	where := url + "/v1/schedules/s"
	resp, made := ask(t, "PUT", where, `{"kind":"echo","args":{"n":1,"m":{"x":1}},"every":"1h","tags":["a"],"backoff":{"policy":"fixed","delay":"1s"},"jitter":"30s"}`)
	tag := resp.Header.Get("ETag")
	if tag == "" || made["next_submit_at"] == nil || len(made["next"].([]any)) != 5 {
		t.Fatalf("%s %v", tag, made)
	}
	resp, changed := ask(t, "PATCH", where, `{"args":{"m":{"y":12345678901234567890},"n":null},"tags":null,"backoff":{"jitter":0.5},"overlap":"skip"}`, "If-Match", tag)
	want := map[string]any{
		"name": "s", "kind": "echo", "args": map[string]any{"m": map[string]any{"x": json.Number("1"), "y": json.Number("12345678901234567890")}},
		"every": "1h0m0s", "jitter": "30s", "overlap": "skip", "backoff": map[string]any{"policy": "fixed", "delay": "1s", "jitter": json.Number("0.5")},
		"skipped": json.Number("0"), "next_at": made["next_at"], "next_submit_at": made["next_submit_at"], "next": made["next"],
	}
	if diff := cmp.Diff(want, changed); diff != "" || resp.StatusCode != http.StatusOK || resp.Header.Get("ETag") == tag {
		t.Errorf("%d, (-want +got):\n%s", resp.StatusCode, diff)
	}
	if resp, p := ask(t, "PATCH", where, `{"tags":["b"]}`, "If-Match", tag); resp.StatusCode != http.StatusPreconditionFailed || p["type"] != "urn:millrace:problem:changed" {
		t.Errorf("an old version: %d %v", resp.StatusCode, p)
	}
	for _, header := range [][]string{{"If-Match", "*"}, {"Content-Type", mediaMerge}, nil} {
		if resp, p := ask(t, "PATCH", where, `{"tags":["b"]}`, header...); resp.StatusCode != http.StatusOK || p["tags"] == nil {
			t.Errorf("%v: %d %v", header, resp.StatusCode, p)
		}
	}
	if resp, p := ask(t, "PATCH", where, `{"every":null,"cron":"0 9 * * *","zone":"Europe/Berlin","jitter":null}`); resp.StatusCode != http.StatusOK || p["every"] != nil || p["zone"] != "Europe/Berlin" || p["next_submit_at"] != nil {
		t.Errorf("%d %v", resp.StatusCode, p)
	}
	resp, p := ask(t, "PATCH", where, `{"every":null,"zone":null,"cron":"@every 5m"}`)
	if resp.StatusCode != http.StatusOK || p["every"] != "5m0s" || p["cron"] != nil {
		t.Errorf("in another spelling: %d %v", resp.StatusCode, p)
	}

	for patch, places := range map[string][]string{
		`{"kind":null}`:                      {"body"},
		`{"kind":"A","max_attempts":0}`:      {"body.kind", "body.max_attempts"},
		`{"cron":"0 9 * * *"}`:               {"body"},
		`{"every":null}`:                     {"body"},
		`{"every":null,"cron":"61 * * * *"}`: {"body.cron"},
		`{"name":"other","generation":null}`: {"body.generation", "body.name"},
		`{"zone":"Europe/Berlin"}`:           {"body.zone"},
		`{"end":"2001-01-01T00:00:00Z"}`:     {"body.end"},
		`{"jitter":"1500ms"}`:                {"body.jitter"},
		`{"jitter":"25h"}`:                   {"body.jitter"},
		`{"catch_up":"all"}`:                 {"body.catch_up"},
		`{"queue":"nope"}`:                   {"body.queue"},
		`{"every":7}`:                        {"body.every"},
		`{"backoff":{"policy":null}}`:        {"body.backoff"},
		`[]`:                                 {"body"},
	} {
		resp, p := ask(t, "PATCH", where, patch)
		if resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s:", patch)
		}
		wantViolations(t, resp, p, places...)
	}
	if resp, p := ask(t, "PATCH", where, `{"kind":"a","kind":"b"}`); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a key twice: %d %v", resp.StatusCode, p)
	}
	if resp, p := ask(t, "PATCH", where, `{}`, "Content-Type", "text/plain"); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("text: %d %v", resp.StatusCode, p)
	}
	if resp, p := ask(t, "PATCH", url+"/v1/schedules/none", `{}`); resp.StatusCode != http.StatusNotFound {
		t.Errorf("none: %d %v", resp.StatusCode, p)
	}
	if _, after := ask(t, "GET", where, ""); after["every"] != "5m0s" || after["kind"] != "echo" {
		t.Errorf("what was refused has changed it: %v", after)
	}
}

func TestCreateSchedule(t *testing.T) {
	url, _ := running(t)
	where := url + "/v1/schedules"
	resp, made := ask(t, "POST", where, `{"name":"s","kind":"echo","cron":"@at 2099-01-01T00:00:00+01:00"}`, "Idempotency-Key", "k")
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != "/v1/schedules/s" || resp.Header.Get("ETag") == "" || made["at"] != "2098-12-31T23:00:00Z" {
		t.Errorf("%d %v", resp.StatusCode, made)
	}
	if resp, again := ask(t, "POST", where, `{"name":"s","kind":"echo","cron":"@at 2099-01-01T00:00:00+01:00"}`, "Idempotency-Key", "k"); resp.Header.Get("Idempotent-Replayed") != "true" || cmp.Diff(made, again) != "" {
		t.Errorf("again: %d %v", resp.StatusCode, again)
	}
	if resp, p := ask(t, "POST", where, `{"name":"s","kind":"echo","every":"1h"}`); resp.StatusCode != http.StatusConflict {
		t.Errorf("of a name that is taken: %d %v", resp.StatusCode, p)
	}
	_, one := ask(t, "POST", where, `{"kind":"echo","every":"1h"}`)
	_, other := ask(t, "POST", where, `{"kind":"echo","every":"1h"}`)
	if one["name"] == other["name"] || millrace.ValidateScheduleName(one["name"].(string)) != nil {
		t.Errorf("names that are made: %v, %v", one["name"], other["name"])
	}
	for body, places := range map[string][]string{
		`{"name":"a.b","kind":"a","every":"1h"}`:   {"body.name"},
		`{"kind":"a"}`:                             {"body"},
		`{"kind":"a","every":"1h","queue":"nope"}`: {"body.queue"},
		`{"kind":"a","at":"2099-01-01T00:00:00Z","start":"2098-01-01T00:00:00Z","end":"2100-01-01T00:00:00Z"}`: {"body.end", "body.start"},
		`{"kind":"a","every":"1h","start":"2098-01-01T00:00:00Z","end":"2097-01-01T00:00:00Z"}`:                {"body.end"},
		`{"kind":"a","cron":"@daily","start":"2098-01-01T00:00:01Z","end":"2098-01-01T23:00:00Z"}`:             {"body.end"},
		`{"kind":"a","every":"1h","start":"9999-01-01T00:00:00Z"}`:                                             {"body.start"},
		`{"kind":"a","cron":"@every x","catch_up":"y"}`:                                                        {"body.cron", "body.catch_up"},
		`{"kind":"a","cron":"@every 5m","zone":"Europe/Berlin"}`:                                               {"body.zone"},
	} {
		resp, p := ask(t, "POST", where, body)
		if resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s:", body)
		}
		wantViolations(t, resp, p, places...)
	}
	if _, all := ask(t, "GET", where, ""); len(all["schedules"].([]any)) != 3 {
		t.Errorf("listed: %v", all)
	}
}

func TestPauseSchedule(t *testing.T) {
	url, _ := running(t)
	where := url + "/v1/schedules/s"
	ask(t, "PUT", where, `{"kind":"echo","every":"1h"}`)
	_, paused := ask(t, "POST", where+"/pause", "")
	if paused["paused"] != true || paused["paused_at"] == nil || len(paused["next"].([]any)) != 5 {
		t.Errorf("%v", paused)
	}
	if _, again := ask(t, "POST", where+"/pause", ""); again["paused_at"] != paused["paused_at"] {
		t.Errorf("paused again: %v", again)
	}
	if _, replaced := ask(t, "PUT", where, `{"kind":"echo","every":"2h"}`); replaced["paused"] != true {
		t.Errorf("replaced: %v", replaced)
	}
	if resp, run := ask(t, "POST", where+"/run", ""); resp.StatusCode != http.StatusAccepted {
		t.Errorf("run now: %d %v", resp.StatusCode, run)
	}
	for range 2 {
		if resp, resumed := ask(t, "POST", where+"/resume", ""); resp.StatusCode != http.StatusOK || resumed["paused"] != nil {
			t.Errorf("resumed: %d %v", resp.StatusCode, resumed)
		}
	}
	for _, verb := range []string{"/pause", "/resume"} {
		if resp, p := ask(t, "POST", url+"/v1/schedules/none"+verb, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %v", verb, resp.StatusCode, p)
		}
	}
}

// What is declared in a file can be paused and run, but not be changed.
func TestDeclaredSchedule(t *testing.T) {
	url, store := running(t)
	where := url + "/v1/schedules/s"
	declared := []millrace.Schedule{{Name: "s", Kind: "echo", Cron: "@yearly"}}
	if err := scheduler.NewBook(store).Reconcile(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	_, shown := ask(t, "GET", where, "")
	if shown["declared"] != true {
		t.Errorf("%v", shown)
	}
	for _, c := range []struct{ method, url, body string }{
		{"PUT", where, `{"kind":"echo","every":"1h"}`}, {"PATCH", where, `{"kind":"other"}`}, {"DELETE", where, ""},
	} {
		resp, p := ask(t, c.method, c.url, c.body)
		if resp.StatusCode != http.StatusConflict || p["type"] != "urn:millrace:problem:declared" ||
			p["detail"] != "schedule s: conflict: it is declared in the configuration file (millrace.yaml): change it there, and start the scheduler again" {
			t.Errorf("%s: %d %v", c.method, resp.StatusCode, p)
		}
	}
	if _, after := ask(t, "GET", where, ""); cmp.Diff(shown, after) != "" {
		t.Errorf("it has changed: %v", after)
	}
	for verb, status := range map[string]int{"/pause": 200, "/resume": 200, "/run": 202} {
		if resp, p := ask(t, "POST", where+verb, ""); resp.StatusCode != status {
			t.Errorf("%s: %d %v", verb, resp.StatusCode, p)
		}
	}
}

// What is put with If-Match replaces that version, and no other.
func TestPutScheduleIfMatch(t *testing.T) {
	url, _ := running(t)
	where := url + "/v1/schedules/s"
	put := func(tag string, want int) (next string) {
		t.Helper()
		resp, p := ask(t, "PUT", where, `{"kind":"echo","every":"1h"}`, "If-Match", tag)
		if resp.StatusCode != want || want == http.StatusPreconditionFailed && p["type"] != "urn:millrace:problem:changed" {
			t.Errorf("%s: %d %v", tag, resp.StatusCode, p)
		}
		return resp.Header.Get("ETag")
	}
	put("*", http.StatusPreconditionFailed)
	resp, _ := ask(t, "PUT", where, `{"kind":"echo","every":"2h"}`)
	first := resp.Header.Get("ETag")
	second := put(first, http.StatusOK)
	put(first, http.StatusPreconditionFailed)
	put(second, http.StatusOK)
	put("*", http.StatusOK)
	put("nonsense", http.StatusUnprocessableEntity)
}
