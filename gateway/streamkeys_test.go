package gateway

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/orders"
	"millrace/processor"
	"millrace/streams"
)

// watchWith opens a stream, and returns it when something has come.
func watchWith(t *testing.T, uri string, headers ...string) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewReader(resp.Body)
	if first, err := lines.ReadString('\n'); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %q %v", resp.StatusCode, first, err)
	}
	return lines
}

// A stream ends with the key that it was asked for with: what happens then is not in it.
func TestStreamsEndWithTheirKey(t *testing.T) {
	_, s := guardedShop(t, Config{})
	p := processor.New(s.store, processor.Config{})
	orders.New(s.store, orders.Config{}).Register(p)
	s.run(p.Run)
	key := makeKey(t, s.url, "watcher", "", millrace.ScopeRead)
	b := newBrowser(t, s)
	b.signIn(key)
	feed := watchWith(t, s.url+"/v1/orders/events", "X-API-Key", key)
	page := watchWith(t, s.url+"/live?page=%2Forders", "Cookie", sessionCookie+"="+b.cookies[sessionCookie])
	if status, body, _ := sendTo(t, "DELETE", s.url+"/v1/keys/"+millrace.KeyPrefix(key), "", "X-API-Key", adminKey); status >= 300 {
		t.Fatalf("%d %s", status, body)
	}
	const secret = "after-the-end"
	status, body, _ := sendTo(t, "POST", s.url+"/v1/orders", `{"reference":"`+secret+`","customer_id":"1","currency":"GBP","items":[{"sku":"a","quantity":1,"unit_price_minor":1}]}`,
		"X-API-Key", adminKey, "Content-Type", "application/json")
	if status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	for name, stream := range map[string]*bufio.Reader{"feed": feed, "page": page} {
		rest, err := io.ReadAll(stream)
		if err != nil || strings.Contains(string(rest), secret) {
			t.Errorf("%s: it goes on without its key: %v %s", name, err, rest)
		}
	}
}

// Who was let in stays as long as they would be let in anew.
func TestStays(t *testing.T) {
	d := &door{}
	short := streams.Key{Prefix: "short", Scopes: []millrace.Scope{millrace.ScopeRead}, ExpiresAt: time.Now().Add(time.Hour)}
	v := d.visitorOf(short)
	session := strings.Repeat("a", sessionIDLength)
	sessions := map[string]streams.Session{sessionHash(session): {Prefix: "short", ExpiresAt: time.Now().Add(time.Hour)}}
	d.ring.Store(&streams.Ring{Keys: map[string]streams.Key{"short": short}, Sessions: sessions})
	byPage, ok := d.bySession(session)
	if !ok || !d.stays(byPage) {
		t.Error("a session does not stay")
	}
	if !d.stays(nil) || !d.stays(v) || d.stays(nobody) {
		t.Error("the wrong ones stay")
	}
	short.ExpiresAt = time.Now().Add(-time.Second)
	d.ring.Store(&streams.Ring{Keys: map[string]streams.Key{"short": short}, Sessions: sessions})
	if _, known := d.bySession(session); known || d.stays(v) || d.stays(byPage) {
		t.Error("it stays though its key has expired")
	}
}
