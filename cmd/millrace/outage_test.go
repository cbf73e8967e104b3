package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	smallTask  = `{"kind":"mail.send","args":{"to":"a"}}`
	smallOrder = `{"currency":"GBP","items":[{"sku":"A","quantity":2,"unit_price_minor":3}]}`
)

// wantUnavailable fails the test unless all that needs the broker is refused, each
// within the limit.
func wantUnavailable(t *testing.T, api *client, limit time.Duration) {
	t.Helper()
	for _, one := range []struct{ method, path, body string }{
		{"POST", "/v1/tasks", smallTask},
		{"POST", "/v1/orders", smallOrder},
		{"GET", "/v1/tasks/some", ""},
		{"GET", "/v1/tasks/some?wait=20s", ""},
		{"GET", "/v1/orders/some", ""},
		{"GET", "/readyz", ""},
	} {
		begun := time.Now()
		r, err := api.send(t.Context(), one.method, one.path, one.body)
		if err != nil {
			t.Errorf("%s %s: %v", one.method, one.path, err)
			continue
		}
		wantProblem(t, r, http.StatusServiceUnavailable)
		if took := time.Since(begun); took > limit {
			t.Errorf("%s %s: said no after %s", one.method, one.path, took)
		}
		if r.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: not told when to try again", one.method, one.path)
		}
	}
	if r := api.get(t, "/healthz"); r.status != http.StatusOK {
		t.Errorf("the gateway itself is fine, but says %s", r)
	}
}

// wantAvailable waits until the gateway is ready, and submits a task.
func wantAvailable(t *testing.T, api *client) {
	t.Helper()
	eventually(t, func() error {
		if r := api.get(t, "/readyz"); r.status != http.StatusOK {
			return fmt.Errorf("not ready: %s", r)
		}
		return nil
	})
	api.submit(t, smallTask)
}

// TestBrokerGone kills the server under a gateway, and brings it back.
func TestBrokerGone(t *testing.T) {
	b := startBroker(t)
	_, api := startGateway(t, b)
	wantAvailable(t, api)

	b.kill()
	eventually(t, func() error { // until the gateway has noticed
		if r := api.get(t, "/readyz"); r.status != http.StatusServiceUnavailable {
			return fmt.Errorf("ready without a broker: %s", r)
		}
		return nil
	})
	for range 5 {
		wantUnavailable(t, api, time.Second)
	}

	if err := b.launch(); err != nil {
		t.Fatal(err)
	}
	b.says(t, serverReady)
	wantAvailable(t, api)
	broker := inspect(t, b.url)
	for stream, last := range broker.written(t) {
		// The two that were accepted, and nothing behind the caller's back.
		if want := map[string]uint64{"TASKS_default": 2}[stream]; last != want {
			t.Errorf("%s was written to %d times, not %d", stream, last, want)
		}
	}
}

// TestBrokerFrozen stops the server without a word: connections stay, and nobody
// answers.
func TestBrokerFrozen(t *testing.T) {
	t.Parallel() // it only waits
	b := startBroker(t)
	_, api := startGateway(t, b)
	wantAvailable(t, api)
	b.signal(t, syscall.SIGSTOP)
	frozen := true
	defer func() {
		if frozen {
			b.signal(t, syscall.SIGCONT)
		}
	}()
	// Side by side, so that the test waits for the timeout of 5 s once.
	replies := make([]reply, 32)
	errs := make([]error, len(replies))
	begun := time.Now()
	inParallel(len(replies), len(replies), func(i int) {
		switch i % 4 {
		case 0:
			replies[i], errs[i] = api.send(t.Context(), "POST", "/v1/tasks", smallTask)
		case 1:
			replies[i], errs[i] = api.send(t.Context(), "POST", "/v1/tasks", smallTask, "Idempotency-Key", fmt.Sprint(i))
		case 2:
			replies[i], errs[i] = api.send(t.Context(), "POST", "/v1/orders", smallOrder)
		case 3:
			replies[i], errs[i] = api.send(t.Context(), "GET", "/v1/tasks/some", "")
		}
	})
	took := time.Since(begun)
	t.Logf("the last of them was refused after %s", took)
	if took > 20*time.Second {
		t.Errorf("the last one had to wait %s", took)
	}
	for i, r := range replies {
		if errs[i] != nil {
			t.Errorf("request %d: %v", i, errs[i])
			continue
		}
		wantProblem(t, r, http.StatusServiceUnavailable)
	}
	frozen = false
	b.signal(t, syscall.SIGCONT)
	wantAvailable(t, api)
}

// TestFullQueue fills one queue, whose tasks nobody carries out.
func TestFullQueue(t *testing.T) {
	node, api := startDev(t, "--queue-mb", "1")
	body := fmt.Sprintf(`{"kind":"nobody.knows","queue":"bulk","args":%q}`, strings.Repeat("x", 100_000))
	var accepted []string
	for len(accepted) < 20 {
		r := api.post(t, "/v1/tasks", body)
		if r.status == http.StatusAccepted {
			accepted = append(accepted, decode[struct{ ID string }](t, r.body).ID)
			continue
		}
		wantProblem(t, r, http.StatusServiceUnavailable)
		if r.header.Get("Retry-After") == "" || !strings.Contains(string(r.body), "queue") {
			t.Errorf("a full queue: %s %v", r, r.header)
		}
		break
	}
	if n := len(accepted); n < 8 || n > 10 {
		t.Fatalf("1 MiB took %d tasks of 100 kB", n)
	}
	// Nothing is lost of what was accepted, and the other queues are fine.
	for _, id := range accepted {
		if r := api.get(t, "/v1/tasks/"+id); r.status != http.StatusOK {
			t.Errorf("task %s: %s", id, r)
		}
	}
	id := api.submit(t, `{"kind":"demo.echo","args":1}`)
	if task, err := api.finished(t.Context(), id); err != nil || task.State != "succeeded" {
		t.Errorf("another queue: %+v, %v", task, err)
	}
	if r := api.get(t, "/readyz"); r.status != http.StatusOK {
		t.Errorf("a full queue does not make the node useless, but it says %s", r)
	}
	s := inspect(t, node.says(t, natsAddress)).state(t, "TASKS_bulk")
	if s.Msgs != uint64(len(accepted)) {
		t.Errorf("%d tasks were accepted, and %d are kept", len(accepted), s.Msgs)
	}
}
