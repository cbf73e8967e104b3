package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// A process without the API says how it is in the words of the gateway, and nothing
// else.
func TestHealth(t *testing.T) {
	store := newStore(t)
	var trouble atomic.Pointer[string]
	h, err := NewHealth(store, Config{Listen: "127.0.0.1:0", Ready: func() error {
		if s := trouble.Load(); s != nil {
			return errors.New(*s)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	url := "http://" + h.Addr().String()
	want := func(path string, status int, detail string) {
		t.Helper()
		resp, body := ask(t, "GET", url+path, "")
		said, _ := body["detail"].(string)
		if resp.StatusCode != status || !strings.Contains(said, detail) || (resp.Header.Get("Content-Type") == mediaProblem) != (status >= 400) {
			t.Errorf("%s: %d %v, want %d and %q", path, resp.StatusCode, body, status, detail)
		}
	}
	want("/healthz", http.StatusOK, "")
	want("/readyz", http.StatusOK, "")
	for _, path := range []string{"/v1/tasks", "/v1/tasks/a", "/v1/orders/a", "/v1/schedules"} {
		want(path, http.StatusNotFound, "nothing at this path")
	}
	_, api := ask(t, "GET", url+"/openapi.json", "")
	if paths, _ := api["paths"].(map[string]any); len(paths) != 2 {
		t.Errorf("it describes %v", paths)
	}

	bad := "2 handlers do not return"
	trouble.Store(&bad)
	want("/readyz", http.StatusServiceUnavailable, bad)
	want("/healthz", http.StatusOK, "")
	trouble.Store(nil)
	want("/readyz", http.StatusOK, "")
	store.Close()
	trouble.Store(&bad)
	want("/readyz", http.StatusServiceUnavailable, "The broker does not answer.")
	want("/healthz", http.StatusOK, "")

	if _, err := NewHealth(store, Config{Listen: h.Addr().String()}); err == nil || !strings.Contains(err.Error(), "choose another --health-listen") {
		t.Errorf("where one listens already: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
