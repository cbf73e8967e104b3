package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// unguardedShop is a gateway without keys.
func unguardedShop(t *testing.T, cfg Config) *shop {
	t.Helper()
	store := newStore(t)
	cfg.Listen = "127.0.0.1:0"
	g, err := New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, store: store, url: "http://" + g.Addr().String()}
	s.run(g.Run)
	return s
}

// sendAs sends a request to a server under another name, as a browser does whose resolver
// was told that it has this address.
func sendAs(t *testing.T, base, host, method, path, body string, headers ...string) (status int, answer string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, strings.TrimPrefix(base, "http://"))
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// A name that somebody else has resolved to this machine opens nothing while there are no
// keys: neither the API nor a page.
func TestWithoutKeysOnlyThisMachineIsAnswered(t *testing.T) {
	s := unguardedShop(t, Config{})
	const task = `{"kind":"a.b","delay":"1h"}`
	for _, host := range []string{"rebound.example", "rebound.example:8080", "localhost.rebound.example", "127.0.0.1.rebound.example", "192.0.2.1", "[2001:db8::1]:80"} {
		for _, path := range []string{"/", "/tasks", "/keys", "/live", "/v1/tasks", "/v1/keys"} {
			if status, body := sendAs(t, s.url, host, "GET", path, ""); status != http.StatusForbidden {
				t.Errorf("GET %s for %s: %d %s", path, host, status, body)
			}
		}
		status, body := sendAs(t, s.url, host, "POST", "/v1/tasks", task, "Content-Type", "application/json", "Origin", "http://"+host, "Sec-Fetch-Site", "same-origin")
		if status != http.StatusForbidden || !strings.Contains(body, "host-not-local") {
			t.Errorf("POST for %s: %d %s", host, status, body)
		}
		if status, body := sendAs(t, s.url, host, "GET", "/healthz", ""); status != http.StatusOK {
			t.Errorf("/healthz for %s: %d %s", host, status, body)
		}
	}
	if _, body, _ := sendTo(t, "GET", s.url+"/v1/tasks", ""); strings.Contains(body, "a.b") {
		t.Errorf("what was refused is there: %s", body)
	}
	for _, host := range []string{"localhost", "LocalHost:8080", "shop.localhost", "127.0.0.1", "127.1.2.3:80", "[::1]:8080"} {
		for _, path := range []string{"/", "/v1/tasks"} {
			if status, body := sendAs(t, s.url, host, "GET", path, ""); status != http.StatusOK {
				t.Errorf("GET %s for %s: %d %s", path, host, status, body)
			}
		}
	}
}

// Whoever says that something else guards the gateway has its name in the requests; and
// where there are keys they decide.
func TestOtherNamesWhereSomethingElseGuards(t *testing.T) {
	s := unguardedShop(t, Config{Insecure: true})
	if status, body := sendAs(t, s.url, "millrace.example", "GET", "/v1/tasks", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	_, guarded := guardedShop(t, Config{})
	if status, body := sendAs(t, guarded.url, "millrace.example", "GET", "/v1/tasks", "", "X-API-Key", adminKey); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

// Without keys what a page from elsewhere sends changes nothing, whether or not it names
// where it is from.
func TestWithoutKeysOtherOriginsChangeNothing(t *testing.T) {
	s := unguardedShop(t, Config{})
	for _, from := range [][]string{{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		json := append([]string{"Content-Type", "application/json"}, from...)
		form := append([]string{"Content-Type", "application/x-www-form-urlencoded"}, from...)
		for path, headers := range map[string][]string{"/v1/tasks": json, "/v1/keys": json, "/v1/kinds/a.b/pause": from, "/kinds/pause": form, "/keys": form} {
			body := map[string]string{"/v1/tasks": `{"kind":"a.b","delay":"1h"}`, "/v1/keys": `{"name":"evil","scopes":["admin"]}`}[path]
			if status, answer, _ := sendTo(t, "POST", s.url+path, body, headers...); status != http.StatusForbidden {
				t.Errorf("POST %s from %v: %d %s", path, from, status, answer)
			}
		}
	}
	for _, path := range []string{"/v1/tasks", "/v1/keys", "/v1/kinds"} {
		if _, body, _ := sendTo(t, "GET", s.url+path, ""); strings.Contains(body, "a.b") || strings.Contains(body, "evil") {
			t.Errorf("%s: %s", path, body)
		}
	}
}
