package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

var testTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// browser keeps cookies.
type browser struct {
	t       *testing.T
	base    string
	cookies map[string]string
}

func (b *browser) do(method, path, body string) (int, string, http.Header) {
	b.t.Helper()
	var jar []string
	for name, value := range b.cookies {
		jar = append(jar, name+"="+value)
	}
	status, answer, header := sendTo(b.t, method, b.base+path, body, "Cookie", strings.Join(jar, "; "), "Content-Type", "application/x-www-form-urlencoded")
	for _, c := range (&http.Response{Header: header}).Cookies() {
		if c.MaxAge < 0 || c.Value == "" {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return status, answer, header
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// token is that of the forms of a page.
func (b *browser) token(path string) string {
	b.t.Helper()
	_, page, _ := b.do("GET", path, "")
	found := tokenField.FindStringSubmatch(page)
	if found == nil {
		b.t.Fatalf("%s has no form: %s", path, page)
	}
	return found[1]
}

func (b *browser) signIn(key string) (int, http.Header) {
	b.t.Helper()
	token := b.token("/login")
	status, _, header := b.do("POST", "/login", fields("token", token, "key", key, "back", "/queues"))
	return status, header
}

func newBrowser(t *testing.T, s *shop) *browser {
	return &browser{t: t, base: s.url, cookies: map[string]string{}}
}

// TestPagesTakeASession goes through every page and every form, signed in with each scope,
// and with a token that is of another session.
func TestPagesTakeASession(t *testing.T) {
	_, s := guardedShop(t, Config{})
	for _, who := range append([]millrace.Scope{anyone}, millrace.Scopes()...) {
		b := newBrowser(t, s)
		if who != anyone {
			status, header := b.signIn(makeKey(t, s.url, "page-"+string(who), "", who))
			cookie := header.Get("Set-Cookie")
			if status != http.StatusSeeOther || header.Get("Location") != "/queues" || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") {
				t.Fatalf("%d %v", status, header)
			}
			// The cookie opens no API.
			if status, _, _ := b.do("GET", "/v1/tasks", ""); status != http.StatusUnauthorized {
				t.Errorf("the API takes a cookie: %d", status)
			}
		}
		for route, takes := range access() {
			method, path, _ := strings.Cut(route, " ")
			if strings.HasPrefix(path, "/v1/") || takes == anyone {
				continue
			}
			path = strings.NewReplacer("{id}", "x-1", "{name}", "x").Replace(path)
			if path == "/live" {
				path += "?page=/queues"
			}
			status, body, header := b.do(method, path, fields("token", strings.Repeat("0", 64), "sure", "yes"))
			if method == "POST" && who != anyone && takes.Allows([]millrace.Scope{who}) {
				if status, body, _ := b.do(method, path, fields("sure", "yes")); status != http.StatusForbidden {
					t.Errorf("%s: %s gets %d without a token: %s", route, who, status, body)
				}
			}
			switch {
			case who == anyone && method == "GET" && path != "/live?page=/queues":
				if status != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), "/login?back=") {
					t.Errorf("%s: nobody gets %d %v", route, status, header)
				}
			case who == anyone:
				if status != http.StatusUnauthorized {
					t.Errorf("%s: nobody gets %d %s", route, status, body)
				}
			case !takes.Allows([]millrace.Scope{who}):
				if status != http.StatusForbidden || !strings.Contains(body, "This takes a key with the scope") {
					t.Errorf("%s: %s gets %d %s", route, who, status, body)
				}
			case method == "POST":
				if status != http.StatusForbidden || !strings.Contains(body, "This form is not of a page that you were shown") {
					t.Errorf("%s: %s gets %d with a wrong token: %s", route, who, status, body)
				}
			case status == http.StatusForbidden || status == http.StatusUnauthorized || status == http.StatusSeeOther:
				t.Errorf("%s: %s gets %d %s", route, who, status, body)
			case path != "/live?page=/queues" && strings.Contains(body, `<body class="looks">`) != (who == millrace.ScopeRead):
				t.Errorf("%s: what may be done is offered to the wrong ones: %s", route, who)
			}
		}
	}
}

// A form counts with the token of its session, and with the scopes of its key.
func TestFormsOfASession(t *testing.T) {
	_, s := guardedShop(t, Config{})
	b := newBrowser(t, s)
	key := makeKey(t, s.url, "operator", "", millrace.ScopeRead, millrace.ScopeOperate)
	b.signIn(key)
	token := b.token("/queues")
	if status, body, _ := b.do("POST", "/queues/bulk/pause", fields("token", token)); status != http.StatusSeeOther {
		t.Fatalf("%d %s", status, body)
	}
	if _, page, _ := b.do("GET", "/queues", ""); !strings.Contains(page, "Queue bulk is paused") {
		t.Errorf("it is not said that the queue is paused: %s", page)
	}
	other := newBrowser(t, s)
	other.signIn(key)
	if status, _, _ := other.do("POST", "/queues/bulk/resume", fields("token", token)); status != http.StatusForbidden {
		t.Errorf("another session's token counts: %d", status)
	}
	entries, err := s.store.Audited(t.Context(), streams.AuditQuery{Action: "pause-queue", Limit: 100})
	if err != nil || len(entries.Entries) != 1 || entries.Entries[0].Name != "operator" || entries.Entries[0].On != "/v1/queues/bulk/pause" || entries.Entries[0].Status != 200 || entries.Entries[0].From != "127.0.0.1" {
		t.Errorf("%+v %v", entries, err)
	}
	// With the key the session ends.
	sendTo(t, "DELETE", s.url+"/v1/keys/"+millrace.KeyPrefix(key), "", "X-API-Key", adminKey)
	if status, _, _ := b.do("GET", "/queues", ""); status != http.StatusSeeOther {
		t.Errorf("the session goes on without its key: %d", status)
	}
	admin := newBrowser(t, s)
	admin.signIn(adminKey)
	token = admin.token("/queues")
	id := admin.cookies[sessionCookie]
	if status, _, _ := admin.do("POST", "/logout", fields("token", token)); status != http.StatusSeeOther {
		t.Errorf("signing out: %d", status)
	}
	admin.cookies[sessionCookie] = id
	if status, _, _ := admin.do("GET", "/queues", ""); status != http.StatusSeeOther {
		t.Errorf("who signed out is signed in: %d", status)
	}
}

// Where a proxy ends TLS, cookies are for https all the same.
func TestSecureCookies(t *testing.T) {
	for _, secure := range []bool{false, true} {
		_, s := guardedShop(t, Config{SecureCookies: secure})
		b := newBrowser(t, s)
		_, header := b.signIn(adminKey)
		_, _, form := sendTo(t, "GET", s.url+"/login", "")
		for _, h := range []http.Header{header, form} {
			if cookie := h.Get("Set-Cookie"); cookie == "" || strings.Contains(strings.ToLower(cookie), "; secure") != secure {
				t.Errorf("secure %t: %q", secure, cookie)
			}
		}
	}
}

func TestSignInIsThrottled(t *testing.T) {
	_, s := guardedShop(t, Config{})
	b := newBrowser(t, s)
	for range wrongFromOne {
		if status, _ := b.signIn("mr_wrong"); status != http.StatusUnauthorized {
			t.Fatalf("a wrong key: %d", status)
		}
	}
	status, header := b.signIn(adminKey)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("after %d wrong keys: %d %v", wrongFromOne, status, header)
	}
	var l logins
	for i := range wrongFromAll {
		l.failed(string(rune('a'+i)), testTime)
	}
	if l.wait("somebody", testTime.Add(time.Second)) != 59*time.Second || l.wait("somebody", testTime.Add(time.Minute)) != 0 {
		t.Error("wrong keys from everywhere are not throttled for a minute")
	}
}

// What was sent, and with which key, is in no log.
func TestLogsHaveNoSecrets(t *testing.T) {
	var log syncBuffer
	_, s := guardedShop(t, Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	key := makeKey(t, s.url, "all", "", millrace.ScopeAdmin)
	for _, body := range []string{`{"kind":"a.b","args":{"card":"4111-secret"}}`, `{"kind":"a.b","args":"4111-secret`, `{"kind":"4111-secret"}`} {
		sendTo(t, "POST", s.url+"/v1/tasks", body, "Authorization", "Bearer "+key, "Content-Type", "application/json")
		sendTo(t, "PUT", s.url+"/v1/stock/A", body, "Authorization", "Bearer "+key, "Content-Type", "application/json")
	}
	page, err := s.store.Audited(t.Context(), streams.AuditQuery{Limit: 100})
	if err != nil || len(page.Entries) != 4 {
		t.Errorf("%+v %v", page, err)
	}
	for _, e := range page.Entries {
		if all := e.On + e.Who + e.Name + e.Action; strings.Contains(all, "secret") || strings.Contains(all, key) {
			t.Errorf("the audit log has %+v", e)
		}
	}
	if text := log.String(); strings.Contains(text, "4111") || strings.Contains(text, key) || strings.Contains(text, adminKey) {
		t.Errorf("the log has it: %s", text)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
