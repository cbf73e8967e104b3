package gateway

import (
	"testing"
	"time"

	"millrace/orders"
)

func TestPayment(t *testing.T) {
	s := openShop(t, orders.Config{ByHand: true})
	s.ask(202, "POST", "/v1/orders", `{"order_id":"undecided","currency":"GBP","items":[{"sku":"A","quantity":1,"unit_price_minor":250}]}`)
	if resp, p := s.ask(409, "POST", "/v1/orders/undecided/payment", payment("p")); p["state"] != "placed" || p["type"] != problemType("order-state") || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("before a worker came to it: %v, %v", p, resp.Header)
	}
	s.work()
	if o := s.buy("one", "A", 1); o["state"] != "awaiting_payment" || o["refund_due"] != false || o["pay_by"] == nil {
		t.Fatalf("%v", o)
	}
	for body, want := range map[string][]string{
		`{"reference":"p","amount_minor":249,"currency":"GBP"}`:                               {"body.amount_minor"},
		`{"reference":"p","amount_minor":-250,"currency":"GBP"}`:                              {"body.amount_minor"},
		`{"reference":"p","amount_minor":0,"currency":"GBP"}`:                                 {"body.amount_minor"},
		`{"reference":"p","amount_minor":9223372036854775807,"currency":"GBP"}`:               {"body.amount_minor"},
		`{"reference":"p","amount_minor":250,"currency":"EUR"}`:                               {"body.currency"},
		`{"reference":"p","amount_minor":250,"currency":"gbp"}`:                               {"body.currency"},
		`{"reference":"","amount_minor":1,"currency":"XXX"}`:                                  {"body.reference", "body.currency"},
		`{"reference":"a\nb","amount_minor":250,"currency":"GBP"}`:                            {"body.reference"},
		`{"reference":"p","amount_minor":250,"currency":"GBP","customer_id":"17851"}`:         {"body.customer_id"},
		`{"reference":"p","amount_minor":250,"currency":"GBP","refund_due":true}`:             {"body.refund_due"},
		`{"reference":"p","amount_minor":"250","currency":"GBP"}`:                             {"body.amount_minor"},
		`{"reference":"p","amount_minor":250.5,"currency":"GBP"}`:                             {"body.amount_minor"},
		`{"reference":"` + string(make300()) + `","amount_minor":250,"currency":"GBP"}`:       {"body.reference"},
		`{"amount_minor":250,"currency":"GBP"}`:                                               {"body"},
		`{"reference":"p","amount_minor":1,"currency":"EUR","customer_id":"somebody else's"}`: {"body.customer_id"}, // what it costs is not theirs to know
	} {
		s.refused("POST", "/v1/orders/one/payment", body, want...)
	}
	s.ask(400, "POST", "/v1/orders/one/payment", `{"reference":"p","reference":"q","amount_minor":250,"currency":"GBP"}`)
	if resp, p := ask(t, "POST", s.url+"/v1/orders/one/payment", `{"reference":"p","amount_minor":92233720368547758080,"currency":"GBP"}`); resp.StatusCode/100 != 4 {
		t.Errorf("what fits no integer: %d %v", resp.StatusCode, p)
	}
	s.ask(404, "POST", "/v1/orders/nobody/payment", payment("p"))
	s.refused("POST", "/v1/orders/a.b/payment", payment("p"), "path.id")

	resp, paid := s.ask(200, "POST", "/v1/orders/one/payment", `{"reference":"p","amount_minor":250,"currency":"GBP","customer_id":"17850"}`)
	if paid["state"] != "paid" || len(paid["payments"].([]any)) != 1 || paid["refund_due"] != false {
		t.Errorf("%v", paid)
	}
	again, same := s.ask(200, "POST", "/v1/orders/one/payment", payment("p"))
	if again.Header.Get("ETag") == "" || len(same["payments"].([]any)) != 1 {
		t.Errorf("with the same reference: %v", same)
	}
	s.ask(304, "GET", "/v1/orders/one", "", "If-None-Match", resp.Header.Get("ETag"))
	s.ask(409, "POST", "/v1/orders/one/payment", `{"reference":"p","amount_minor":251,"currency":"GBP"}`)
	s.buy("other", "A", 1)
	if _, p := s.ask(409, "POST", "/v1/orders/other/payment", payment("p")); p["state"] != nil || p["type"] != problemType("conflict") {
		t.Errorf("a reference of another order: %v", p)
	}

	// A second payment, and one for an order that was called off.
	if _, twice := s.ask(200, "POST", "/v1/orders/one/payment", payment("p2")); twice["state"] != "paid" || twice["refund_due"] != true {
		t.Errorf("%v", twice)
	}
	s.ask(200, "POST", "/v1/orders/other/cancel", `{"reason":"late"}`)
	_, closed := s.ask(200, "POST", "/v1/orders/other/payment", payment("p3"))
	if closed["state"] != "cancelled" || closed["refund_due"] != true || closed["payments"].([]any)[0].(map[string]any)["refund_due"] != true {
		t.Errorf("%v", closed)
	}
	_, due := s.ask(200, "GET", "/v1/orders?refund_due=true", "")
	if list := due["orders"].([]any); len(list) != 2 || list[0].(map[string]any)["id"] != "other" || list[1].(map[string]any)["id"] != "one" {
		t.Errorf("refunds are due for %v", due)
	}
}

func make300() []byte {
	text := make([]byte, 300)
	for i := range text {
		text[i] = 'x'
	}
	return text
}

func TestPaymentAfterExpiry(t *testing.T) {
	s := openShop(t, orders.Config{PaymentTime: time.Nanosecond})
	s.work()
	s.ask(200, "PUT", "/v1/stock/A", `{"on_hand":3}`)
	s.buy("slow", "A", 1)
	s.ask(200, "GET", "/v1/tasks/slow-expire?wait=5s", "")
	s.wantStock("A", "3", "0", "3", "0")
	_, closed := s.ask(200, "POST", "/v1/orders/slow/payment", payment("p"))
	if closed["state"] != "expired" || closed["refund_due"] != true {
		t.Errorf("%v", closed)
	}
	s.wantStock("A", "3", "0", "3", "0")
	if _, p := s.ask(409, "POST", "/v1/orders/slow/cancel", `{"reason":"late"}`); p["state"] != "expired" {
		t.Errorf("%v", p)
	}
}

func TestCancelOrder(t *testing.T) {
	s := openShop(t, orders.Config{ByHand: true})
	s.ask(200, "PUT", "/v1/stock/A", `{"on_hand":3}`)
	s.ask(202, "POST", "/v1/orders", `{"order_id":"undecided","currency":"GBP","items":[{"sku":"A","quantity":1,"unit_price_minor":250}]}`)
	if _, o := s.ask(200, "POST", "/v1/orders/undecided/cancel", `{"reason":"at once"}`); o["state"] != "cancelled" {
		t.Errorf("before a worker came to it: %v", o)
	}
	s.work()
	s.buy("one", "A", 2)
	s.wantStock("A", "3", "2", "1", "0")
	for body, want := range map[string]string{
		`{}`: "body", `{"reason":""}`: "body.reason", `{"reason":"a\u0000"}`: "body.reason", `{"reason":1}`: "body.reason", `{"reason":"a","why":"b"}`: "body.why",
	} {
		s.refused("POST", "/v1/orders/one/cancel", body, want)
	}
	s.ask(400, "POST", "/v1/orders/one/cancel", "")
	s.ask(404, "POST", "/v1/orders/nobody/cancel", `{"reason":"x"}`)
	first, o := s.ask(200, "POST", "/v1/orders/one/cancel", `{"reason":"changed her mind"}`)
	history := o["history"].([]any)
	if o["state"] != "cancelled" || history[len(history)-1].(map[string]any)["reason"] != "changed her mind" {
		t.Errorf("%v", o)
	}
	s.wantStock("A", "3", "0", "3", "0")
	if _, o := s.ask(200, "POST", "/v1/orders/one/cancel", `{"reason":"again"}`); len(o["history"].([]any)) != len(history) {
		t.Errorf("cancelled again: %v", o)
	}
	s.ask(304, "GET", "/v1/orders/one", "", "If-None-Match", first.Header.Get("ETag"))
	s.wantStock("A", "3", "0", "3", "0")
	if o := s.buy("undecided2", "A", 4); o["state"] != "rejected" {
		t.Errorf("more than there is: %v", o)
	}
	if _, p := s.ask(409, "POST", "/v1/orders/undecided2/cancel", `{"reason":"x"}`); p["state"] != "rejected" {
		t.Errorf("%v", p)
	}
}

func TestFulfilOrder(t *testing.T) {
	s := openShop(t, orders.Config{ByHand: true})
	s.work()
	s.ask(200, "PUT", "/v1/stock/A", `{"on_hand":3}`)
	s.buy("one", "A", 1)
	if _, p := s.ask(409, "POST", "/v1/orders/one/fulfil", ""); p["state"] != "awaiting_payment" || p["type"] != problemType("order-state") {
		t.Errorf("%v", p)
	}
	s.ask(404, "POST", "/v1/orders/nobody/fulfil", "")
	s.ask(200, "POST", "/v1/orders/one/payment", payment("p"))
	if _, p := s.ask(409, "POST", "/v1/orders/one/cancel", `{"reason":"late"}`); p["state"] != "paid" {
		t.Errorf("%v", p)
	}
	s.wantStock("A", "3", "1", "2", "0")
	for range 2 {
		if _, o := s.ask(200, "POST", "/v1/orders/one/fulfil", ""); o["state"] != "fulfilled" || o["holds"] != nil {
			t.Errorf("%v", o)
		}
	}
	s.wantStock("A", "2", "0", "2", "1")
	// A page from elsewhere can make a browser send this, since it has no body.
	s.ask(403, "POST", "/v1/orders/one/fulfil", "", "Origin", "http://elsewhere.example")
}

// Without ByHand a worker fulfils what is paid.
func TestPaidOrdersAreFulfilled(t *testing.T) {
	s := openShop(t, orders.Config{})
	s.work()
	s.buy("one", "A", 1)
	s.ask(200, "POST", "/v1/orders/one/payment", payment("p"))
	s.ask(200, "GET", "/v1/tasks/one-fulfil?wait=5s", "")
	if _, o := s.ask(200, "GET", "/v1/orders/one", ""); o["state"] != "fulfilled" {
		t.Errorf("%v", o)
	}
}
