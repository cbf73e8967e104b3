package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"millrace"
	"millrace/streams"
)

// adminKey is what the gateways of these tests are given.
var adminKey = "mr_" + strings.Repeat("a", millrace.KeyPrefixLen) + "_" + strings.Repeat("0", millrace.KeySecretLen)

// guardedShop is a gateway that takes keys.
func guardedShop(t *testing.T, cfg Config) (*Gateway, *shop) {
	t.Helper()
	store := newStore(t)
	cfg.Listen, cfg.AdminKeys = "127.0.0.1:0", []string{adminKey}
	g, err := New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, store: store, url: "http://" + g.Addr().String()}
	s.run(g.Run)
	return g, s
}

// makeKey makes a key with those scopes, and returns it.
func makeKey(t *testing.T, base, name string, more string, scopes ...millrace.Scope) string {
	t.Helper()
	data, _ := json.Marshal(scopes)
	status, body, _ := sendTo(t, "POST", base+"/v1/keys", fmt.Sprintf(`{"name":%q,"scopes":%s%s}`, name, data, more), "Authorization", "Bearer "+adminKey, "Content-Type", "application/json")
	var made struct{ Key string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	return made.Key
}

// sendTo sends one request, and follows no redirect.
func sendTo(t *testing.T, method, uri, body string, headers ...string) (status int, answer string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := plain.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, uri, err)
	}
	defer resp.Body.Close()
	if strings.Contains(resp.Header.Get("Content-Type"), "event-stream") {
		return resp.StatusCode, "", resp.Header // it has no end
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

var plain = &http.Transport{DisableKeepAlives: true}

// TestEveryRouteHasAScope compares the table with the router, with what the description
// says, and with docs/security.md; -update writes that.
func TestEveryRouteHasAScope(t *testing.T) {
	g, s := guardedShop(t, Config{PaymentSecrets: []string{providerSecret}})
	table, served := access(), map[string]bool{}
	for _, routes := range g.app.Stack() {
		for _, r := range routes {
			if r.Method == http.MethodHead {
				continue
			}
			route := r.Method + " " + namedPath(r.Path)
			served[route] = true
			if _, ok := table[route]; !ok {
				t.Errorf("%s has no scope: give it one in access.go", route)
			}
		}
	}
	for route := range table {
		if !served[route] {
			t.Errorf("access.go has %s, which is no route", route)
		}
	}
	_, text, _ := sendTo(t, "GET", s.url+"/openapi.json", "")
	var described struct {
		Paths map[string]map[string]struct{ Security []map[string][]string }
	}
	if err := json.Unmarshal([]byte(text), &described); err != nil {
		t.Fatal(err)
	}
	for path, methods := range described.Paths {
		for method, op := range methods {
			scope := table[strings.ToUpper(method)+" "+path]
			if scope == anyone && len(op.Security) != 0 || scope != anyone && (len(op.Security) != 2 || op.Security[0]["bearer"][0] != string(scope)) {
				t.Errorf("%s %s takes %q, and is described with %v", method, path, scope, op.Security)
			}
		}
	}

	const page = "../docs/security.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(data), "<!-- access -->\n")
	was, after, ends := strings.Cut(rest, "<!-- end -->")
	if want := accessTable(table); !ends || was != want {
		if !*update {
			t.Fatalf("%s says otherwise than access.go: run go test ./gateway -run TestEveryRouteHasAScope -update", page)
		}
		if err := os.WriteFile(page, []byte(before+"<!-- access -->\n"+want+"<!-- end -->"+after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func accessTable(table map[string]millrace.Scope) string {
	lines := []string{"| route | takes |", "| --- | --- |"}
	for _, scope := range append([]millrace.Scope{anyone}, millrace.Scopes()...) {
		var routes []string
		for route, takes := range table {
			if takes == scope {
				method, path, _ := strings.Cut(route, " ")
				word := "`" + string(scope) + "`"
				if scope == anyone {
					word = "—"
				}
				routes = append(routes, fmt.Sprintf("| `%s %s` | %s |", method, path, word))
			}
		}
		slices.SortFunc(routes, func(a, b string) int {
			pa, pb := strings.SplitN(a, " ", 3)[2], strings.SplitN(b, " ", 3)[2]
			return strings.Compare(pa+a, pb+b)
		})
		lines = append(lines, routes...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestAccessMatrix sends every request with no key, a wrong, an expired and a revoked one,
// and one of each scope: it is let in exactly where docs/security.md says.
func TestAccessMatrix(t *testing.T) {
	g, s := guardedShop(t, Config{PaymentSecrets: []string{providerSecret}})
	keys := map[string]string{"none": "", "wrong": "mr_" + strings.Repeat("b", millrace.KeyPrefixLen) + "_" + strings.Repeat("0", millrace.KeySecretLen)}
	keys["half"] = adminKey[:len(adminKey)-1] + "1"
	keys["revoked"] = makeKey(t, s.url, "old", "", millrace.ScopeAdmin)
	if status, body, _ := sendTo(t, "DELETE", s.url+"/v1/keys/"+millrace.KeyPrefix(keys["revoked"]), "", "X-API-Key", adminKey); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	keys["expired"] = expiredKey(t, g)
	scopes := map[string]millrace.Scope{}
	for _, scope := range millrace.Scopes() {
		keys[string(scope)] = makeKey(t, s.url, "only-"+string(scope), "", scope)
		scopes[string(scope)] = scope
	}
	for route, takes := range access() {
		method, path, _ := strings.Cut(route, " ")
		if !strings.HasPrefix(path, "/v1/") {
			continue // pages take sessions, see TestPagesTakeASession
		}
		path = strings.NewReplacer("{id}", "x-1", "{name}", "x", "{queue}", "nowhere", "{kind}", "a.b", "{sku}", "X", "{prefix}", "zz").Replace(path)
		for who, key := range keys {
			if route == "GET /v1/orders/events" && who == string(millrace.ScopeAdmin) {
				continue // one stream is enough
			}
			headers := []string{"Content-Type", "application/json"}
			if key != "" {
				headers = append(headers, "Authorization", "Bearer "+key)
			}
			status, body, header := sendTo(t, method, s.url+path, "{}", headers...)
			var p wireProblem
			_ = json.Unmarshal([]byte(body), &p)
			needsKey, wrongScope := p.Type == problemType("key-needed"), p.Type == problemType("scope-missing")
			want := "let in"
			if takes != anyone {
				if scope, good := scopes[who]; !good {
					want = "401"
				} else if !takes.Allows([]millrace.Scope{scope}) {
					want = "403"
				}
			}
			got := "let in"
			switch {
			case needsKey && status == http.StatusUnauthorized && header.Get("WWW-Authenticate") != "":
				got = "401"
			case wrongScope && status == http.StatusForbidden:
				got = "403"
			}
			if got != want {
				t.Errorf("%s with %s: %s, not %s: %d %s", route, who, got, want, status, body)
			}
		}
	}
}

// expiredKey puts a key there that was good until a moment ago.
func expiredKey(t *testing.T, g *Gateway) string {
	t.Helper()
	key, prefix := newKey()
	k := streams.Key{Prefix: prefix, Name: "late", Scopes: []millrace.Scope{millrace.ScopeAdmin}}
	k.Hash = hashOf(key)
	k.CreatedAt = testTime.Add(-1)
	k.ExpiresAt = testTime
	if err := g.door.keys.Add(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	g.door.refresh(t.Context())
	return key
}

func fields(values ...string) string {
	v := url.Values{}
	for i := 0; i < len(values); i += 2 {
		v.Set(values[i], values[i+1])
	}
	return v.Encode()
}
