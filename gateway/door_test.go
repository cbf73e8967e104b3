package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// Without keys a gateway is for this machine, or for whoever says so.
func TestNobodyIsLetInFromElsewhereWithoutAKey(t *testing.T) {
	store := newStore(t)
	_, err := New(store, Config{Listen: "0.0.0.0:0"})
	if err == nil || !strings.Contains(err.Error(), "--insecure") {
		t.Fatalf("it listens everywhere without a key: %v", err)
	}
	for _, cfg := range []Config{{Listen: "0.0.0.0:0", Insecure: true}, {Listen: "0.0.0.0:0", AdminKeys: []string{adminKey}}, {Listen: "[::1]:0"}} {
		g, err := New(store, cfg)
		if err != nil {
			t.Fatalf("%+v: %v", cfg, err)
		}
		_ = g.listener.Close()
	}
	if _, err := New(store, Config{Listen: "127.0.0.1:0", AdminKeys: []string{"mr_short"}}); err == nil || strings.Contains(err.Error(), "mr_short") {
		t.Errorf("what is no key is taken for one, or told: %v", err)
	}
	key := streams.Key{Prefix: "aaaaaaaaaa", Hash: hashOf(adminKey), Name: "a", Scopes: []millrace.Scope{millrace.ScopeRead}}
	if err := store.Keys().Add(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	g, err := New(store, Config{Listen: "0.0.0.0:0"})
	if err != nil {
		t.Fatal(err)
	}
	_ = g.listener.Close()
}

// The first key closes every gateway, and when it is revoked they stay closed.
func TestTheFirstKeyClosesTheDoor(t *testing.T) {
	store := newStore(t)
	var urls []string
	for range 2 {
		g, err := New(store, Config{Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		shop{t: t, store: store}.run(g.Run)
		urls = append(urls, "http://"+g.Addr().String())
	}
	here, there := urls[0], urls[1]
	if status, body, _ := sendTo(t, "GET", there+"/v1/tasks", ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	status, body, _ := sendTo(t, "POST", here+"/v1/keys", `{"name":"first","scopes":["admin"]}`, "Content-Type", "application/json")
	_, key, _ := strings.Cut(body, `"key":"`)
	key, _, _ = strings.Cut(key, `"`)
	if status != http.StatusCreated || millrace.KeyPrefix(key) == "" {
		t.Fatalf("%d %s", status, body)
	}
	until := func(uri string, want int, headers ...string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; {
			status, body, _ := sendTo(t, "GET", uri, "", headers...)
			if status == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d %s, not %d", uri, status, body, want)
			}
		}
	}
	until(there+"/v1/tasks", http.StatusUnauthorized)
	until(there+"/v1/tasks", http.StatusOK, "X-API-Key", key)
	if status, body, _ := sendTo(t, "DELETE", here+"/v1/keys/"+millrace.KeyPrefix(key), "", "Authorization", "bearer "+key); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	until(there+"/v1/tasks", http.StatusUnauthorized, "X-API-Key", key)
	until(here+"/v1/tasks", http.StatusUnauthorized)
}

// Two keys of a name can be good at once, whoever makes them.
func TestTwoKeysOfAName(t *testing.T) {
	_, s := guardedShop(t, Config{})
	answers := make(chan int, 5)
	for range cap(answers) {
		go func() {
			status, _, _ := sendTo(t, "POST", s.url+"/v1/keys", `{"name":"shop","scopes":["read"]}`, "X-API-Key", adminKey, "Content-Type", "application/json")
			answers <- status
		}()
	}
	made := map[int]int{}
	for range cap(answers) {
		made[<-answers]++
	}
	if made[http.StatusCreated] != 2 || made[http.StatusConflict] != 3 {
		t.Errorf("%v", made)
	}
	for _, body := range []string{`{"name":"x","scopes":[]}`, `{"name":"x","scopes":["root"]}`, `{"name":"x","scopes":["read","read"]}`, `{"name":"a b","scopes":["read"]}`, `{"name":"x","scopes":["read"],"expires_in":"soon"}`} {
		if status, answer, _ := sendTo(t, "POST", s.url+"/v1/keys", body, "X-API-Key", adminKey, "Content-Type", "application/json"); status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}

func TestKeyLimits(t *testing.T) {
	_, s := guardedShop(t, Config{})
	key := makeKey(t, s.url, "slow", `,"rate":1`, millrace.ScopeRead)
	refused := false
	for range 5 {
		status, _, header := sendTo(t, "GET", s.url+"/v1/tasks", "", "X-API-Key", key)
		if header.Get("RateLimit-Policy") != `"key";q=1;w=1` || !strings.HasPrefix(header.Get("RateLimit"), `"key";r=0;t=`) {
			t.Errorf("%d %v", status, header)
		}
		if status == http.StatusTooManyRequests {
			refused = header.Get("Retry-After") == "1"
		}
	}
	if !refused {
		t.Error("five requests at once are within one a second")
	}
	key = makeKey(t, s.url, "narrow", `,"in_flight":1`, millrace.ScopeRead, millrace.ScopeSubmit)
	_, body, _ := sendTo(t, "POST", s.url+"/v1/tasks", `{"kind":"a.b","delay":"1h"}`, "X-API-Key", key, "Content-Type", "application/json")
	_, id, _ := strings.Cut(body, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		for { // it may be the one that comes second
			if status, _, _ := sendTo(t, "GET", s.url+"/v1/tasks/"+id+"?wait=30s", "", "X-API-Key", key); status != http.StatusTooManyRequests {
				return
			}
		}
	}()
	for end := time.Now().Add(10 * time.Second); ; {
		if status, _, header := sendTo(t, "GET", s.url+"/v1/tasks/"+id, "", "X-API-Key", key); status == http.StatusTooManyRequests && header.Get("Retry-After") != "" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a second request is let in beside the one that waits")
		}
	}
	sendTo(t, "DELETE", s.url+"/v1/tasks/"+id, "", "X-API-Key", adminKey)
	<-waiting
	if status, body, _ := sendTo(t, "GET", s.url+"/v1/tasks/"+id, "", "X-API-Key", key); status != http.StatusOK {
		t.Errorf("after it: %d %s", status, body)
	}
}

// What a key is refused over and over is written down once.
func TestRefusalsAreAuditedWithoutFlooding(t *testing.T) {
	_, s := guardedShop(t, Config{})
	key := makeKey(t, s.url, "reader", "", millrace.ScopeRead)
	for range 20 {
		sendTo(t, "DELETE", s.url+"/v1/tasks/x", "", "X-API-Key", key)
		sendTo(t, "DELETE", s.url+"/v1/tasks/x", "")
	}
	_, body, _ := sendTo(t, "GET", s.url+"/v1/audit?refused=true&who=reader&on=TASKS", "", "X-API-Key", adminKey)
	if strings.Count(body, `"status":403`) != 1 || strings.Count(body, `"action"`) != 1 {
		t.Errorf("%s", body)
	}
	if status, body, _ := sendTo(t, "GET", s.url+"/v1/audit?after=nowhere!", "", "X-API-Key", adminKey); status != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", status, body)
	}
	_, first, _ := sendTo(t, "GET", s.url+"/v1/audit?limit=1", "", "X-API-Key", adminKey)
	_, cursor, _ := strings.Cut(first, `"next_cursor":"`)
	cursor, _, _ = strings.Cut(cursor, `"`)
	if _, second, _ := sendTo(t, "GET", s.url+"/v1/audit?limit=1&after="+cursor, "", "X-API-Key", adminKey); cursor == "" || second == first || !strings.Contains(second, `"action"`) {
		t.Errorf("%s then %s", first, second)
	}
}

func TestOriginsAndHeaders(t *testing.T) {
	_, s := guardedShop(t, Config{Origins: []string{"https://shop.example"}})
	for origin, good := range map[string]bool{"https://shop.example": true, "https://shop.example.evil.example": false, "http://shop.example": false} {
		_, _, header := sendTo(t, "OPTIONS", s.url+"/v1/tasks", "", "Origin", origin, "Access-Control-Request-Method", "POST")
		if got := header.Get("Access-Control-Allow-Origin"); (got == origin) != good || !good && got != "" || header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", origin, header)
		}
		status, body, _ := sendTo(t, "POST", s.url+"/v1/tasks", `{"kind":"a.b"}`, "Origin", origin, "Sec-Fetch-Site", "cross-site", "X-API-Key", adminKey, "Content-Type", "application/json")
		if want := map[bool]int{true: http.StatusAccepted, false: http.StatusForbidden}[good]; status != want {
			t.Errorf("%s: %d %s", origin, status, body)
		}
	}
	status, _, header := sendTo(t, "POST", s.url+"/v1/tasks", `{"kind":"a.b"}`, "Origin", "https://evil.example", crossed, "1", "X-API-Key", adminKey, "Content-Type", "application/json")
	if status != http.StatusForbidden || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("X-Frame-Options") != "DENY" || header.Get("Referrer-Policy") == "" {
		t.Errorf("%d %v", status, header)
	}
	if _, err := New(s.store, Config{Listen: "127.0.0.1:0", Origins: []string{"https://shop.example/"}}); err == nil {
		t.Error("an origin with a path is taken, which none is equal to")
	}
}

func TestTLS(t *testing.T) {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	_, s := guardedShop(t, Config{TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: secret}}}})
	trusted := x509.NewCertPool()
	trusted.AddCert(cert)
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trusted}}
	base := strings.Replace(s.url, "http:", "https:", 1)
	ask := func(method, path, body string, header http.Header) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	first := ask("GET", "/login", "", http.Header{})
	formToken := first.Cookies()[0]
	if !formToken.Secure {
		t.Error("the cookie of forms goes over connections that are not private")
	}
	signedIn := ask("POST", "/login", fields("token", formToken.Value, "key", adminKey), http.Header{
		"Cookie": {formCookie + "=" + formToken.Value}, "Content-Type": {"application/x-www-form-urlencoded"},
	})
	if signedIn.StatusCode != http.StatusSeeOther || !signedIn.Cookies()[0].Secure {
		t.Errorf("%d %v", signedIn.StatusCode, signedIn.Cookies())
	}
	// A stream is taken over from the server, with the connection.
	if live := ask("GET", "/v1/orders/events", "", http.Header{"X-Api-Key": {adminKey}}); live.StatusCode != http.StatusOK {
		t.Errorf("%d", live.StatusCode)
	}
}
