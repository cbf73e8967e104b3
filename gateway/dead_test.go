package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"millrace"
	"millrace/streams"
)

// bury submits tasks and lets them fail for good, without a worker that would take what
// is redriven.
func bury(t *testing.T, store *streams.Store, why string, ids ...string) {
	t.Helper()
	p, err := store.Pull("bulk")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := store.Submit(t.Context(), millrace.RawTask{ID: id, Kind: "mail.send", Queue: "bulk", Args: json.RawMessage(`{"to":"a"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	for left := len(ids); left > 0; {
		got, err := p.Next(t.Context(), left)
		if err != nil {
			t.Fatal(err)
		}
		left -= len(got)
		for _, d := range got {
			r := millrace.Record{
				ID: d.Task.ID, Kind: d.Task.Kind, Queue: d.Task.Queue, State: millrace.Failed, Error: why,
				Attempts: []millrace.Attempt{{Number: 1, Error: why, Stack: "goroutine 7"}},
			}
			if err := store.Finish(context.Background(), d, r, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// served is a gateway without a worker.
func served(t *testing.T) (url string, store *streams.Store) {
	t.Helper()
	store = newStore(t)
	g, err := New(store, Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + g.Addr().String(), store
}

func TestDeadOverHTTP(t *testing.T) {
	url, store := served(t)
	bury(t, store, "no luck", "a", "b", "c")
	bury(t, store, "bank is busy", "d", "e")

	resp, page := ask(t, "GET", url+"/v1/dead?queue=bulk&kind=mail.send&error=LUCK&since=2001-01-01T00:00:00Z&limit=2", "")
	tasks, _ := page["tasks"].([]any)
	if resp.StatusCode != http.StatusOK || len(tasks) != 2 || page["searched_until"] == nil {
		t.Fatalf("%d %v", resp.StatusCode, page)
	}
	first := tasks[0].(map[string]any)
	if first["id"] != "c" || first["error"] != "no luck" || first["tried"] != json.Number("1") || first["died_at"] == nil {
		t.Errorf("%v", first)
	}
	_, page = ask(t, "GET", url+"/v1/dead?error=luck&after="+page["next_cursor"].(string), "")
	if tasks, _ := page["tasks"].([]any); len(tasks) != 1 || page["next_cursor"] != nil {
		t.Errorf("%v", page)
	}
	resp, one := ask(t, "GET", url+"/v1/dead/a", "")
	attempts, _ := one["attempts"].([]any)
	if resp.StatusCode != http.StatusOK || len(attempts) != 1 || attempts[0].(map[string]any)["stack"] != "goroutine 7" || one["args"].(map[string]any)["to"] != "a" {
		t.Errorf("%d %v", resp.StatusCode, one)
	}

	resp, task := ask(t, "POST", url+"/v1/dead/a/redrive", "")
	if resp.StatusCode != http.StatusAccepted || task["state"] != "pending" || task["redrives"] != json.Number("1") || resp.Header.Get("Location") != "/v1/tasks/a" {
		t.Errorf("%d %v", resp.StatusCode, task)
	}
	if resp, got := ask(t, "POST", url+"/v1/dead/a/redrive", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("once more: %d %v", resp.StatusCode, got)
	}
	resp, task = ask(t, "POST", url+"/v1/dead/b/redrive", `{"args":{"to":"b"}}`)
	if resp.StatusCode != http.StatusAccepted || task["state"] != "pending" {
		t.Errorf("%d %v", resp.StatusCode, task)
	}
	if again, err := store.Task(t.Context(), "mail.send", "b"); err != nil || string(again.Args) != `{"to":"b"}` {
		t.Errorf("%s, %v", again.Args, err)
	}
	resp, all := ask(t, "POST", url+"/v1/dead/redrive", `{"error":"no luck","rate":1000}`)
	if resp.StatusCode != http.StatusOK || all["redriven"] != json.Number("1") || all["next_cursor"] != nil {
		t.Errorf("%d %v", resp.StatusCode, all)
	}
	if resp, got := ask(t, "DELETE", url+"/v1/dead/e", ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("%d %v", resp.StatusCode, got)
	}
	resp, wrong := ask(t, "POST", url+"/v1/dead/discard", `{"all":true,"confirm":2}`)
	if resp.StatusCode != http.StatusConflict || wrong["count"] != json.Number("1") || wrong["type"] != problemType("count-differs") {
		t.Errorf("%d %v", resp.StatusCode, wrong)
	}
	resp, gone := ask(t, "POST", url+"/v1/dead/discard", `{"all":true,"confirm":1}`)
	if resp.StatusCode != http.StatusOK || gone["discarded"] != json.Number("1") {
		t.Errorf("%d %v", resp.StatusCode, gone)
	}
	if _, page := ask(t, "GET", url+"/v1/dead", ""); len(page["tasks"].([]any)) != 0 {
		t.Errorf("%v", page)
	}
}

// What is asked for wrongly is refused, and nothing has changed.
func TestDeadRefused(t *testing.T) {
	url, store := served(t)
	bury(t, store, "no luck", "a")
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/dead?limit=0", "", 422},
		{"GET", "/v1/dead?limit=201", "", 422},
		{"GET", "/v1/dead?after=!", "", 422},
		{"GET", "/v1/dead?since=yesterday", "", 422},
		{"GET", "/v1/dead?queue=*", "", 422},
		{"GET", "/v1/dead?kind=a..b", "", 422},
		{"GET", "/v1/dead?text=a", "", 422},
		{"GET", "/v1/dead/never", "", 404},
		{"GET", "/v1/dead/*", "", 422},
		{"DELETE", "/v1/dead/never", "", 404},
		{"DELETE", "/v1/dead/%3E", "", 422},
		{"DELETE", "/v1/dead", "", 405},
		{"POST", "/v1/dead/never/redrive", "", 404},
		{"POST", "/v1/dead/a/redrive", `{"args":`, 400},
		{"POST", "/v1/dead/a/redrive", `{"args":{"a":1,"a":2}}`, 400},
		{"POST", "/v1/dead/a/redrive", `{"arg":1}`, 422},
		{"POST", "/v1/dead/a/redrive", `[1]`, 422},
		{"POST", "/v1/dead/redrive", "", 400},
		{"POST", "/v1/dead/redrive", "{}", 422},
		{"POST", "/v1/dead/redrive", `{"all":false}`, 422},
		{"POST", "/v1/dead/redrive", `{"all":true,"queue":"bulk"}`, 422},
		{"POST", "/v1/dead/redrive", `{"queue":""}`, 422},
		{"POST", "/v1/dead/redrive", `{"queue":"*"}`, 422},
		{"POST", "/v1/dead/redrive", `{"all":true,"limit":1001}`, 422},
		{"POST", "/v1/dead/redrive", `{"all":true,"rate":0}`, 422},
		{"POST", "/v1/dead/redrive", `{"all":true,"after":"!"}`, 422},
		{"POST", "/v1/dead/discard", `{"confirm":1}`, 422},
		{"POST", "/v1/dead/discard", `{"all":true}`, 422},
		{"POST", "/v1/dead/discard", `{"all":true,"confirm":-1}`, 422},
		{"POST", "/v1/dead/discard", `{"all":true,"confirm":0}`, 409},
	} {
		if resp, got := ask(t, c.method, url+c.path, c.body); resp.StatusCode != c.status || got["title"] == nil {
			t.Errorf("%s %s %s: %d %v", c.method, c.path, c.body, resp.StatusCode, got)
		}
	}
	if _, got := ask(t, "POST", url+"/v1/dead/redrive", `{"all":true,"after":"!"}`); !strings.Contains(fmt.Sprint(got["errors"]), "body.after") {
		t.Errorf("%v", got)
	}
	if _, page := ask(t, "GET", url+"/v1/dead", ""); fmt.Sprint(len(page["tasks"].([]any))) != "1" {
		t.Errorf("%v", page)
	}
	if f, err := store.Lookup(t.Context(), "a"); err != nil || f.Record.State != millrace.Failed || f.Record.Redrives != 0 {
		t.Errorf("%+v, %v", f.Record, err)
	}
}

// What is not dead is told with its state.
func TestNotDead(t *testing.T) {
	p := problemOf(notDead(fmt.Errorf("redrive: %w", &millrace.NotDeadError{ID: "a", State: millrace.Cancelled})))
	if p.Status != http.StatusConflict || p.State != "cancelled" || p.Type != problemType("not-dead") {
		t.Errorf("%+v", p)
	}
	if err := errors.New("else"); notDead(err) != err || notDead(nil) != nil {
		t.Error("another error is changed")
	}
}
