package client_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"millrace"
	"millrace/client"
)

// A gateway that says that now is not the time is asked again, in the same words, when
// it says.
func TestAsksAgain(t *testing.T) {
	answers := []struct {
		status     int
		retryAfter string
		body       string
	}{
		{status: 500, body: `{"type":"about:blank","status":500,"detail":"oops"}`},
		{status: 502, body: "<html>a proxy's own words</html>"},
		{status: 503, body: `{"type":"urn:millrace:problem:queue-full","status":503}`},
		{status: 409, retryAfter: "1", body: `{"type":"urn:millrace:problem:key-in-use","status":409,"detail":"a twin is at it"}`},
		{status: 202, body: `{"id":"a","kind":"echo","queue":"default","state":"pending"}`},
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL, r.Header.Get("Idempotency-Key"), r.Header.Get("Authorization"), body))
		a := answers[len(asked)-1]
		if a.retryAfter != "" {
			w.Header().Set("Retry-After", a.retryAfter)
		}
		w.WriteHeader(a.status)
		fmt.Fprint(w, a.body)
	}))
	defer server.Close()
	c, err := client.New(server.URL+"/", client.Config{Header: http.Header{"Authorization": {"Bearer t"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Submit(t.Context(), client.Task{Kind: "echo", Options: millrace.Options{MaxAttempts: 1}})
	if err != nil || r.ID != "a" || len(asked) != len(answers) {
		t.Fatalf("%+v, %v, asked %q", r, err, asked)
	}
	for _, again := range asked {
		if again != asked[0] || !strings.Contains(again, "Bearer t") || !strings.HasPrefix(again, "POST /v1/tasks 0") {
			t.Errorf("asked %q", again)
		}
	}
}
