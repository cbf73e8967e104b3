package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/orders"
	"millrace/streams"
)

// till takes payments in the place of the orders.
type till struct {
	mu    sync.Mutex
	fails error            // what the next payments come to
	took  map[string]int64 // by order and reference
	calls int
}

func (l *till) pay(_ context.Context, orderID, reference string, amountMinor int64, currency string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.fails != nil {
		return l.fails
	}
	if l.took == nil {
		l.took = map[string]int64{}
	}
	l.took[orderID+" "+reference+" "+currency] = amountMinor
	return nil
}

func (l *till) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fails = err
}

// holds fails the test unless that is what was paid, in so many calls.
func (l *till) holds(t *testing.T, calls int, want map[string]int64) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if diff := cmp.Diff(want, l.took); diff != "" || l.calls != calls {
		t.Errorf("%d calls, want %d: %s", l.calls, calls, diff)
	}
}

var (
	providerSecret, providerKey = secretOf("p", 32)
	formerSecret, formerKey     = secretOf("f", 24)
)

const (
	webhookPath = "/v1/webhooks/payment"
	paidEvent   = `{"type":"payment.succeeded","timestamp":1700000000,"data":{"order_id":"1001","amount_minor":850,"currency":"GBP","reference":"ch_1","fee":{"minor":7}},"livemode":true}`
)

var paidOnce = map[string]int64{"1001 ch_1 GBP": 850}

// startWebhooks runs a gateway on a store, with the secrets of a provider that is
// replacing one by the other.
func startWebhooks(t *testing.T, store *streams.Store, pay payFunc, secrets ...string) (address string) {
	t.Helper()
	g, err := New(store, Config{Listen: "127.0.0.1:0", PaymentSecrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	g.webhook.pay = pay
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return g.Addr().String()
}

// webhook is the text of a request, as the provider sends it so long from now.
func webhook(id, body string, later time.Duration, headers ...string) string {
	at := strconv.FormatInt(time.Now().Add(later).Unix(), 10)
	return postJSON(webhookPath, body, append(headers,
		"webhook-id: "+id, "webhook-timestamp: "+at, "webhook-signature: "+signedBy(providerKey, id, at, body))...)
}

// wantAnswer fails the test unless the answer has that status, and as its problem
// that type.
func wantAnswer(t *testing.T, got reply, status int, slug string) {
	t.Helper()
	kind := ""
	switch {
	case slug == "blank":
		kind = "about:blank"
	case slug != "":
		kind = problemType(slug)
	}
	if got.StatusCode != status || got.problem.Type != kind {
		t.Errorf("%d %s, want %d %s", got.StatusCode, got.body, status, kind)
	}
	if status == http.StatusNoContent && got.body != "" {
		t.Errorf("the body is %q", got.body)
	}
}

func TestPaymentWebhook(t *testing.T) {
	var l till
	c := newClient(t, startWebhooks(t, newStore(t), l.pay, formerSecret, providerSecret))
	wantAnswer(t, c.send(webhook("msg_1", paidEvent, 0)), 204, "")
	l.holds(t, 1, paidOnce)

	// What is neither for us nor wrong, and what a page in a browser would be refused.
	wantAnswer(t, c.send(webhook("msg_2", `{"type":"payment.failed","data":"of any kind"}`, 0)), 204, "")
	l.holds(t, 1, paidOnce)
	wantAnswer(t, c.send(webhook("msg_3", paidEvent, 0, "Origin: https://provider.example", "Sec-Fetch-Site: cross-site")), 204, "")
	l.holds(t, 2, paidOnce)

	// While the secret is replaced, either signs, or both.
	at := strconv.FormatInt(time.Now().Unix(), 10)
	for i, signatures := range []string{
		signedBy(formerKey, "former", at, paidEvent),
		signedBy(providerKey, "both", at, paidEvent) + " " + signedBy(formerKey, "both", at, paidEvent),
	} {
		id := []string{"former", "both"}[i]
		wantAnswer(t, c.send(postJSON(webhookPath, paidEvent, "Webhook-Id: "+id, "WEBHOOK-TIMESTAMP: "+at, "webhook-signature: "+signatures)), 204, "")
	}
	l.holds(t, 4, paidOnce)
}

func TestReplayedWebhook(t *testing.T) {
	var l till
	store := newStore(t)
	c := newClient(t, startWebhooks(t, store, l.pay, providerSecret))
	first := webhook("msg_1", paidEvent, 0)
	wantAnswer(t, c.send(first), 204, "")
	wantAnswer(t, c.send(first), 409, "webhook-replayed")
	another := newClient(t, startWebhooks(t, store, l.pay, providerSecret))
	wantAnswer(t, another.send(first), 409, "webhook-replayed")
	wantAnswer(t, another.send(webhook("msg_1", paidEvent, -time.Minute)), 409, "webhook-replayed")
	again := webhook("msg_1", paidEvent, time.Minute)
	wantAnswer(t, another.send(again), 204, "")
	wantAnswer(t, c.send(again), 409, "webhook-replayed")
	l.holds(t, 1, paidOnce)
}

// Nothing that fails is remembered: the provider delivers it again, and it is tried
// again, be it the same delivery or another.
func TestWebhookAfterAFailure(t *testing.T) {
	var l till
	c := newClient(t, startWebhooks(t, newStore(t), l.pay, providerSecret))
	violations := orders.Violations{{Location: "body.amount_minor", Message: "the order costs 900"}}
	for _, f := range []struct {
		err    error
		status int
		slug   string
	}{
		{millrace.ErrUnavailable, 503, "unavailable"},
		{fmt.Errorf("order 1001: %w", millrace.ErrNotFound), 404, "not-found"},
		{fmt.Errorf("order 1001: %w", millrace.ErrConflict), 409, "conflict"},
		{fmt.Errorf("order 1001: %w", violations), 422, "invalid"},
		{millrace.ErrInvalid, 422, "invalid"},
		{context.DeadlineExceeded, 504, "timeout"},
	} {
		l.fail(f.err)
		got := c.send(webhook("msg_1", paidEvent, 0))
		wantAnswer(t, got, f.status, f.slug)
		if f.status == 503 && got.Header.Get("Retry-After") == "" {
			t.Error("the provider is not told when to try again")
		}
		want := []wireViolation{{Location: "body.data.amount_minor", Message: "the order costs 900"}}
		if strings.Contains(f.err.Error(), "900") && !cmp.Equal(want, got.problem.Errors) {
			t.Errorf("%+v", got.problem.Errors)
		}
	}
	l.fail(nil)
	wantAnswer(t, c.send(webhook("msg_1", paidEvent, 0)), 204, "")
	l.holds(t, 7, paidOnce)
}

// Two gateways get the same delivery, many times at once: one answer is 204.
func TestTwinWebhooks(t *testing.T) {
	var l till
	store := newStore(t)
	addresses := []string{startWebhooks(t, store, l.pay, providerSecret), startWebhooks(t, store, l.pay, providerSecret)}
	request := webhook("msg_1", paidEvent, 0)
	var taken atomic.Int32
	var racing sync.WaitGroup
	for i := range 16 {
		c := newClient(t, addresses[i%2])
		racing.Go(func() {
			if got := c.send(request); got.StatusCode == 204 {
				taken.Add(1)
			} else {
				wantAnswer(t, got, 409, "webhook-replayed")
			}
		})
	}
	racing.Wait()
	if taken.Load() != 1 {
		t.Errorf("%d were told that it is done", taken.Load())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if diff := cmp.Diff(paidOnce, l.took); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedWebhooks(t *testing.T) {
	var l till
	address := startWebhooks(t, newStore(t), l.pay, providerSecret)
	at := strconv.FormatInt(time.Now().Unix(), 10)
	good := signedBy(providerKey, "id", at, paidEvent)
	with := func(event string) string { return webhook("id", event, 0) }
	unread := "\x00 not for reading"
	for _, r := range []struct {
		name, request string
		status        int
		slug, place   string // where the first violation is
	}{
		{"no headers", postJSON(webhookPath, paidEvent), 401, "webhook-not-verified", ""},
		{"no id", postJSON(webhookPath, paidEvent, "webhook-timestamp: "+at, "webhook-signature: "+good), 401, "webhook-not-verified", ""},
		{"no time", postJSON(webhookPath, paidEvent, "webhook-id: id", "webhook-signature: "+good), 401, "webhook-not-verified", ""},
		{"no signature", postJSON(webhookPath, paidEvent, "webhook-id: id", "webhook-timestamp: "+at), 401, "webhook-not-verified", ""},
		{"signed by a former secret", postJSON(webhookPath, paidEvent, "webhook-id: id", "webhook-timestamp: "+at, "webhook-signature: "+signedBy(formerKey, "id", at, paidEvent)), 401, "webhook-not-verified", ""},
		{"another body", strings.Replace(webhook("id", paidEvent, 0), "850", "950", 1), 401, "webhook-not-verified", ""},
		{"another id", strings.Replace(webhook("id", paidEvent, 0), "webhook-id: id", "webhook-id: di", 1), 401, "webhook-not-verified", ""},
		{"too old", webhook("id", paidEvent, -6*time.Minute), 401, "webhook-not-verified", ""},
		{"too new", webhook("id", paidEvent, 6*time.Minute), 401, "webhook-not-verified", ""},
		{"an unsigned body is not read", postJSON(webhookPath, unread), 401, "webhook-not-verified", ""},

		{"not JSON", with(unread), 400, "blank", "body"},
		{"two values", with(paidEvent + paidEvent), 400, "blank", "body"},
		{"the same key twice", with(`{"type":"payment.succeeded","type":"other"}`), 400, "blank", "body"},
		{"too deep", with(`{"type":"other","data":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`), 400, "blank", "body.data"},
		{"an array", with(`[]`), 422, "invalid", "body"},
		{"no type", with(`{"data":{}}`), 422, "invalid", "body.type"},
		{"a type that is a number", with(`{"type":1}`), 422, "invalid", "body.type"},
		{"data that is a text", with(`{"type":"payment.succeeded","data":"x"}`), 422, "invalid", "body.data"},
		{"an amount that is a text", with(strings.Replace(paidEvent, "850", `"850"`, 1)), 422, "invalid", "body.data.amount_minor"},
		{"an amount with a fraction", with(strings.Replace(paidEvent, "850", `8.5`, 1)), 422, "invalid", "body.data.amount_minor"},
		{"an amount beyond all", with(strings.Replace(paidEvent, "850", `9223372036854775808`, 1)), 422, "invalid", "body.data.amount_minor"},

		{"no body", webhook("id", "", 0), 400, "blank", ""},
		{"a form", strings.Replace(webhook("id", paidEvent, 0), "application/json", "text/plain", 1), 415, "blank", ""},
		{"gzip", webhook("id", paidEvent, 0, "Content-Encoding: gzip"), 415, "blank", ""},
		{"GET", request("GET "+webhookPath, ""), 405, "blank", ""},
		{"too large", webhook("id", `{"type":"`+strings.Repeat("x", 256<<10)+`"}`, 0), 413, "blank", ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := newClient(t, address).send(r.request)
			wantAnswer(t, got, r.status, r.slug)
			place := ""
			if len(got.problem.Errors) > 0 {
				place, _, _ = strings.Cut(got.problem.Errors[0].Location, "[")
			}
			if place != r.place {
				t.Errorf("%s, want a violation at %s", got.body, r.place)
			}
			if r.status == 401 && got.Header.Get("WWW-Authenticate") == "" {
				t.Error("HTTP wants a WWW-Authenticate")
			}
			for _, secret := range []string{providerSecret[6:], good[3:], string(providerKey)} {
				if strings.Contains(got.body, secret) {
					t.Errorf("it gives away %s", secret)
				}
			}
		})
	}
	l.holds(t, 0, nil)
}

func TestWebhooksWithoutASecret(t *testing.T) {
	var l till
	store := newStore(t)
	c := newClient(t, startWebhooks(t, store, l.pay))
	wantAnswer(t, c.send(webhook("id", paidEvent, 0)), 404, "webhook-not-configured")
	wantAnswer(t, c.send(postJSON(webhookPath, "{}")), 404, "webhook-not-configured")
	l.holds(t, 0, nil)

	_, err := New(store, Config{Listen: "127.0.0.1:0", PaymentSecrets: []string{"whsec_hush"}})
	if err == nil || !strings.Contains(err.Error(), "gateway: payment webhook secret 1 of 1 must be") || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
}

func TestWebhookIsDescribed(t *testing.T) {
	c := newClient(t, startWebhooks(t, newStore(t), new(till).pay))
	body := c.send(request("GET /openapi.json", "")).body
	for _, word := range []string{`"/v1/webhooks/payment"`, `"webhook-signature"`, `"PaymentEvent"`, `"PaymentData"`, `"amount_minor"`} {
		if !strings.Contains(body, word) {
			t.Errorf("the description lacks %s", word)
		}
	}
	if strings.Contains(body, "octet-stream") {
		t.Error("it is said to take bytes")
	}
}
