package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// running is a gateway that serves, with a worker for the kind "echo".
func running(t *testing.T) (url string, store *streams.Store) {
	t.Helper()
	store = newStore(t)
	g, err := New(store, Config{Listen: "127.0.0.1:0", MaxWait: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	p := processor.New(store, processor.Config{})
	processor.Handle(p, "echo", func(_ context.Context, t millrace.Task[json.RawMessage]) (json.RawMessage, error) {
		return t.Args, nil
	}, processor.Kind{})
	processor.Handle(p, "count", func(ctx context.Context, _ millrace.Task[any]) (any, error) {
		processor.Progress(ctx, 3, 4, "almost there")
		return nil, nil
	}, processor.Kind{})
	processor.Handle(p, "flaky", func(_ context.Context, t millrace.Task[any]) (any, error) {
		if t.Attempt == 1 {
			return nil, errors.New("no luck")
		}
		return nil, nil
	}, processor.Kind{})
	g.orders.Register(p)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- g.Run(ctx) }()
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return "http://" + g.Addr().String(), store
}

// ask sends a request, and returns the response with its body decoded.
func ask(t *testing.T, method, url, body string, header ...string) (*http.Response, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var decoded map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if len(data) > 0 {
		if err := d.Decode(&decoded); err != nil {
			t.Fatalf("%s %s: %s: %v", method, url, data, err)
		}
	}
	return resp, decoded
}

func TestTaskFromEndToEnd(t *testing.T) {
	url, _ := running(t)
	resp, accepted := ask(t, "POST", url+"/v1/tasks", `{"kind":"echo","args":{"n":12345678901234567890},"tags":["a"],"result_ttl":"2h"}`)
	if resp.StatusCode != http.StatusAccepted || accepted["state"] != "pending" || accepted["queue"] != "default" {
		t.Fatalf("%d %v", resp.StatusCode, accepted)
	}
	where := resp.Header.Get("Location")
	if where != "/v1/tasks/"+accepted["id"].(string) {
		t.Errorf("Location %q", where)
	}
	resp, task := ask(t, "GET", url+where+"?wait=5s", "")
	if resp.StatusCode != http.StatusOK || task["state"] != "succeeded" || len(task["attempts"].([]any)) != 1 {
		t.Fatalf("%d %v", resp.StatusCode, task)
	}
	if n := task["result"].(map[string]any)["n"]; n != json.Number("12345678901234567890") {
		t.Errorf("the number came back as %v", n)
	}
	finished, _ := time.Parse(time.RFC3339Nano, task["finished_at"].(string))
	expires, _ := time.Parse(time.RFC3339Nano, task["expires_at"].(string))
	if expires.Sub(finished) != 2*time.Hour {
		t.Errorf("finished %s, expires %s", finished, expires)
	}
	resp, task = ask(t, "GET", url+where, "", "If-None-Match", resp.Header.Get("ETag"))
	if resp.StatusCode != http.StatusNotModified || len(task) != 0 {
		t.Errorf("with its own ETag: %d %v", resp.StatusCode, task)
	}
}

func TestProgressIsShown(t *testing.T) {
	url, _ := running(t)
	_, accepted := ask(t, "POST", url+"/v1/tasks", `{"kind":"count"}`)
	_, task := ask(t, "GET", url+"/v1/tasks/"+accepted["id"].(string)+"?wait=5s", "")
	if p, _ := task["progress"].(map[string]any); p["done"] != json.Number("3") || p["total"] != json.Number("4") || p["note"] != "almost there" || p["at"] == nil {
		t.Errorf("%v", task)
	}
}

// A task tells how often it was put off, and that the description knows.
func TestWaitsAreShown(t *testing.T) {
	url, _ := running(t)
	_, accepted := ask(t, "POST", url+"/v1/tasks", `{"kind":"flaky","backoff":{"policy":"fixed","delay":"10ms"}}`)
	_, task := ask(t, "GET", url+"/v1/tasks/"+accepted["id"].(string)+"?wait=5s", "")
	waits, _ := task["waits"].([]any)
	if len(waits) != 1 {
		t.Fatalf("%v", task)
	}
	wait := waits[0].(map[string]any)
	since, _ := time.Parse(time.RFC3339, wait["since"].(string))
	until, _ := time.Parse(time.RFC3339, wait["until"].(string))
	if until.Sub(since) != 10*time.Millisecond || wait["why"] != "retry" || len(wait) != 3 {
		t.Errorf("%v", wait)
	}
	_, api := ask(t, "GET", url+"/openapi.json", "")
	schemas := api["components"].(map[string]any)["schemas"].(map[string]any)
	if _, ok := schemas["TaskView"].(map[string]any)["properties"].(map[string]any)["waits"]; !ok {
		t.Errorf("the description does not know: %v", schemas["TaskView"])
	}
	_, accepted = ask(t, "POST", url+"/v1/tasks", `{"kind":"echo"}`)
	if _, task := ask(t, "GET", url+"/v1/tasks/"+accepted["id"].(string)+"?wait=5s", ""); task["state"] != "succeeded" || task["waits"] != nil {
		t.Errorf("one that never waited: %v", task)
	}
}

func TestUnknownKindIsPending(t *testing.T) {
	url, _ := running(t)
	resp, accepted := ask(t, "POST", url+"/v1/tasks", `{"kind":"nobody.knows.it"}`)
	if resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.StatusCode, accepted)
	}
	resp, task := ask(t, "GET", url+resp.Header.Get("Location")+"?wait=300ms", "")
	if resp.StatusCode != http.StatusOK || task["state"] != "pending" {
		t.Errorf("%d %v", resp.StatusCode, task)
	}
	if attempts, ok := task["attempts"].([]any); !ok || len(attempts) != 0 {
		t.Errorf("attempts %v, want an empty list", task["attempts"])
	}
}

func TestSubmissionsThatAreRefused(t *testing.T) {
	url, store := running(t)
	for name, c := range map[string]struct {
		body      string
		locations []string
	}{
		"several at once": {
			`{"kind":"A","max_attempts":0,"timeout":"soon","result_ttl":"1ms","backoff":{"policy":"fixed","delay":"25h"}}`,
			[]string{"body.kind", "body.max_attempts", "body.timeout", "body.result_ttl", "body.backoff.delay"},
		},
		"a list without delays":     {`{"kind":"a","backoff":{"policy":"list"}}`, []string{"body.backoff"}},
		"delays for no list":        {`{"kind":"a","backoff":{"policy":"fixed","delays":["1s"]}}`, []string{"body.backoff"}},
		"a bad delay in a list":     {`{"kind":"a","backoff":{"policy":"list","delays":["1s","x"]}}`, []string{"body.backoff.delays[1]"}},
		"jitter beyond all":         {`{"kind":"a","backoff":{"policy":"fixed","jitter":2}}`, []string{"body.backoff.jitter"}},
		"a kind with five words":    {`{"kind":"a.b.c.d.e"}`, []string{"body.kind"}},
		"a queue with a wildcard":   {`{"kind":"a","queue":"*"}`, []string{"body.queue"}},
		"a field nobody knows":      {`{"kind":"a","priority":1}`, []string{"body.priority"}},
		"an empty tag":              {`{"kind":"a","tags":[""]}`, []string{"body.tags[0]"}},
		"a queue that is not there": {`{"kind":"a","queue":"nope"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			resp, p := ask(t, "POST", url+"/v1/tasks", c.body)
			if resp.StatusCode != http.StatusUnprocessableEntity || resp.Header.Get("Content-Type") != mediaProblem {
				t.Fatalf("%d %s %v", resp.StatusCode, resp.Header.Get("Content-Type"), p)
			}
			got := map[string]bool{}
			if list, ok := p["errors"].([]any); ok {
				for _, e := range list {
					location, _ := e.(map[string]any)["location"].(string)
					got[location] = true
				}
			}
			for _, want := range c.locations {
				if !got[want] {
					t.Errorf("nothing about %s in %v", want, p["errors"])
				}
			}
		})
	}
	for _, q := range store.Queues() {
		if n, err := store.LastSequence(t.Context(), q); n != 0 || err != nil {
			t.Errorf("queue %s has %d tasks, %v", q, n, err)
		}
	}
}

func TestLookupsThatFail(t *testing.T) {
	url, _ := running(t)
	for path, status := range map[string]int{
		"/v1/tasks/0197f2b1":                   http.StatusNotFound,
		"/v1/tasks/a.b":                        http.StatusUnprocessableEntity,
		"/v1/tasks/*":                          http.StatusUnprocessableEntity,
		"/v1/tasks/%3E":                        http.StatusUnprocessableEntity,
		"/v1/tasks/a%0D%0Ab":                   http.StatusUnprocessableEntity,
		"/v1/tasks/" + strings.Repeat("a", 65): http.StatusUnprocessableEntity,
		"/v1/tasks/a?wait=soon":                http.StatusUnprocessableEntity,
		"/v1/tasks/a?wait=6s":                  http.StatusUnprocessableEntity,
		"/v1/tasks/a?wiat=1s":                  http.StatusUnprocessableEntity,
		"/v1/orders/0197f2b1":                  http.StatusNotFound,
		"/v1/orders/*":                         http.StatusUnprocessableEntity,
		"/healthz":                             http.StatusOK,
		"/readyz":                              http.StatusOK,
	} {
		if resp, body := ask(t, "GET", url+path, ""); resp.StatusCode != status {
			t.Errorf("%s: %d %v, want %d", path, resp.StatusCode, body, status)
		}
	}
}

func TestOrderFromEndToEnd(t *testing.T) {
	url, _ := running(t)
	body := `{"reference":"1","currency":"GBP","items":[{"sku":"BANK CHARGES","quantity":2,"unit_price_minor":150},{"sku":"BANK CHARGES","quantity":1,"unit_price_minor":50}]}`
	resp, placed := ask(t, "POST", url+"/v1/orders", body, "Idempotency-Key", "k1")
	if resp.StatusCode != http.StatusAccepted || placed["status"] != "placed" {
		t.Fatalf("%d %v", resp.StatusCode, placed)
	}
	where := resp.Header.Get("Location")
	resp, again := ask(t, "POST", url+"/v1/orders", body, "Idempotency-Key", "k1")
	if resp.Header.Get("Idempotent-Replayed") != "true" || again["order_id"] != placed["order_id"] {
		t.Errorf("replayed: %v %v", resp.Header, again)
	}
	ask(t, "GET", url+"/v1/tasks/"+placed["task_id"].(string)+"?wait=5s", "")
	resp, order := ask(t, "GET", url+where, "")
	if resp.StatusCode != http.StatusOK || order["state"] != "awaiting_payment" || order["total_minor"] != json.Number("350") || len(order["history"].([]any)) != 2 {
		t.Errorf("%d %v", resp.StatusCode, order)
	}
	if resp, _ = ask(t, "GET", url+where, "", "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != http.StatusNotModified {
		t.Errorf("with its own ETag: %d", resp.StatusCode)
	}
	resp, p := ask(t, "POST", url+"/v1/orders", `{"currency":"XXX","items":[{"sku":"","quantity":0,"unit_price_minor":-1}]}`)
	if list, _ := p["errors"].([]any); resp.StatusCode != http.StatusUnprocessableEntity || len(list) != 4 {
		t.Errorf("%d %v, want four violations at once", resp.StatusCode, p)
	}
}

// The description names every route, and nothing that is not there.
func TestEveryRouteIsDescribed(t *testing.T) {
	url, _ := running(t)
	_, api := ask(t, "GET", url+"/openapi.json", "")
	paths, _ := api["paths"].(map[string]any)
	routes := []string{
		"/v1/tasks", "/v1/tasks/{id}", "/v1/tasks/bulk", "/v1/limits", "/v1/dead", "/v1/dead/{id}", "/v1/dead/{id}/redrive", "/v1/dead/redrive", "/v1/dead/discard",
		"/v1/schedules", "/v1/schedules/{name}", "/v1/schedules/{name}/run", "/v1/schedules/{name}/pause", "/v1/schedules/{name}/resume",
		"/v1/orders", "/v1/orders/{id}", "/v1/orders/{id}/payment", "/v1/orders/{id}/cancel", "/v1/orders/{id}/fulfil",
		"/v1/stock", "/v1/stock/{sku}", "/v1/stock/{sku}/adjust", "/v1/orders/events", "/v1/orders/{id}/events", "/v1/webhooks/payment", "/healthz", "/readyz",
		"/v1/queues", "/v1/queues/{queue}", "/v1/queues/{queue}/pause", "/v1/queues/{queue}/drain", "/v1/queues/{queue}/resume", "/v1/queues/{queue}/purge",
		"/v1/kinds", "/v1/kinds/{kind}/pause", "/v1/kinds/{kind}/resume", "/v1/routes",
		"/v1/workers", "/v1/workers/{id}/quiet", "/v1/workers/{id}/resume", "/v1/workers/{id}/stop", "/v1/workers/{id}/concurrency", "/v1/workers/{id}/stacks",
		"/v1/stats", "/v1/alerts",
		"/v1/keys", "/v1/keys/{prefix}", "/v1/audit",
	}
	for _, want := range routes {
		if paths[want] == nil {
			t.Errorf("%s is not described", want)
		}
	}
	if len(paths) != len(routes) {
		t.Errorf("%d paths are described", len(paths))
	}
}

// What is refused claims no key, so it can be mended and sent again under it.
func TestRefusedRequestsClaimNoKey(t *testing.T) {
	url, _ := running(t)
	for path, bodies := range map[string][2]string{
		"/v1/tasks":  {`{"kind":"echo","queue":"nope"}`, `{"kind":"echo"}`},
		"/v1/orders": {`{"currency":"GBP","items":[{"sku":"a","quantity":0,"unit_price_minor":1}]}`, `{"currency":"GBP","items":[{"sku":"a","quantity":1,"unit_price_minor":1}]}`},
	} {
		if resp, body := ask(t, "POST", url+path, bodies[0], "Idempotency-Key", "k"); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %v", path, resp.StatusCode, body)
		}
		if resp, body := ask(t, "POST", url+path, bodies[1], "Idempotency-Key", "k"); resp.StatusCode != http.StatusAccepted {
			t.Errorf("%s, mended: %d %v", path, resp.StatusCode, body)
		}
	}
}

// A wait of no time at all is a look.
func TestShortWaits(t *testing.T) {
	url, _ := running(t)
	_, accepted := ask(t, "POST", url+"/v1/tasks", `{"kind":"nobody.knows.it"}`)
	for _, wait := range []string{"0s", "1ns", "100us", "2ms"} {
		resp, task := ask(t, "GET", url+"/v1/tasks/"+accepted["id"].(string)+"?wait="+wait, "")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("wait=%s: %d %v", wait, resp.StatusCode, task)
		}
	}
}

// A gateway that stops answers what it has begun: those who submit get their 202,
// and those who wait get what there is to see.
func TestStopAnswersWhatHasBegun(t *testing.T) {
	store := newStore(t)
	g, err := New(store, Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	url := "http://" + g.Addr().String()
	_, accepted := ask(t, "POST", url+"/v1/tasks", `{"kind":"nobody.knows.it"}`)

	var asking sync.WaitGroup
	var under atomic.Int32
	for i := range 100 {
		asking.Go(func() {
			method, path, body, want := "POST", "/v1/tasks", `{"kind":"nobody.knows.it"}`, http.StatusAccepted
			if i%10 == 0 {
				method, path, body, want = "GET", "/v1/tasks/"+accepted["id"].(string)+"?wait=30s", "", http.StatusOK
			}
			req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Idempotency-Key", strconv.Itoa(i))
			under.Add(1)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				return // it had not begun
			}
			defer resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s %s: %d", method, path, resp.StatusCode)
			}
		})
	}
	for under.Load() < 100 {
		runtime.Gosched()
	}
	stop()
	asking.Wait()
	http.DefaultClient.CloseIdleConnections()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTaskWithItsArgs(t *testing.T) {
	url, _ := running(t)
	_, task := ask(t, "POST", url+"/v1/tasks", `{"kind":"echo","args":{"n": 12345678901234567890}}`)
	path := url + "/v1/tasks/" + task["id"].(string)
	if _, got := ask(t, "GET", path, ""); got["args"] != nil {
		t.Errorf("args that nobody asked for: %v", got["args"])
	}
	if _, got := ask(t, "GET", path+"?args=true", ""); got["args"].(map[string]any)["n"] != json.Number("12345678901234567890") {
		t.Errorf("args: %v", got["args"])
	}
}
