package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"millrace/orders"
)

// listIDs lists all of it page by page, and calls between after each page.
func (s shop) listIDs(query url.Values, between func()) (ids []string) {
	s.t.Helper()
	for {
		_, page := s.ask(200, "GET", "/v1/orders?"+query.Encode(), "")
		for _, o := range page["orders"].([]any) {
			ids = append(ids, o.(map[string]any)["id"].(string))
		}
		next, more := page["next_cursor"].(string)
		if !more {
			return ids
		}
		query.Set("after", next)
		between()
	}
}

func TestListOrders(t *testing.T) {
	s := openShop(t, orders.Config{ByHand: true})
	if _, page := s.ask(200, "GET", "/v1/orders", ""); len(page["orders"].([]any)) != 0 || page["next_cursor"] != nil {
		t.Errorf("%v", page)
	}
	s.work()
	var want []string
	for i := range 12 {
		id := fmt.Sprint("o", i)
		s.buy(id, "A", 1)
		want = append(want, id)
	}
	slices.Reverse(want)
	n := 0
	got := s.listIDs(url.Values{"limit": {"3"}, "customer": {"17850"}}, func() {
		n++
		s.buy(fmt.Sprint("new", n), "A", 1)
		s.ask(200, "POST", fmt.Sprint("/v1/orders/o", n, "/payment"), payment(fmt.Sprint("p", n)))
		s.ask(200, "POST", fmt.Sprint("/v1/orders/o", 12-n, "/cancel"), `{"reason":"x"}`)
	})
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := s.listIDs(url.Values{"state": {"paid"}, "limit": {"1"}}, func() {}); !slices.Equal(got, []string{"o4", "o3", "o2", "o1"}) {
		t.Errorf("paid are %v", got)
	}
	_, page := s.ask(200, "GET", "/v1/orders?limit=1", "")
	summary := page["orders"].([]any)[0].(map[string]any)
	if summary["items"] != nil || fmt.Sprintf("%v %v %v", summary["total_minor"], summary["currency"], summary["refund_due"]) != "250 GBP false" {
		t.Errorf("%v", summary)
	}
	next := page["next_cursor"].(string)
	for query, want := range map[string]string{
		"after=x": "query.after", "after=1" + next: "query.after", "after=" + next + "0": "query.after", "after=" + next + "&state=paid": "query.after",
		"state=placed": "query.state", "refund_due=yes": "query.refund_due", "limit=0": "query.limit", "limit=201": "query.limit", "sort=age": "query.sort",
		"customer=" + string(make300()): "query.customer",
	} {
		s.refused("GET", "/v1/orders?"+query, "", want)
	}
}

// An order that is not kept any more is 410, and then not there.
func TestOrdersThatAreNotKept(t *testing.T) {
	s := openShop(t, orders.Config{Retention: time.Second})
	s.work()
	s.buy("one", "A", 1)
	s.buy("two", "A", 1)
	s.ask(200, "POST", "/v1/orders/one/cancel", `{"reason":"x"}`)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, _ := ask(t, "GET", s.url+"/v1/orders/one", ""); resp.StatusCode == http.StatusGone {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is still there")
		}
	}
	s.ask(410, "POST", "/v1/orders/one/payment", payment("p"))
	s.ask(410, "POST", "/v1/orders", `{"order_id":"one","customer_id":"17850","currency":"GBP","items":[{"sku":"A","quantity":1,"unit_price_minor":250}]}`)
	if got := s.listIDs(url.Values{}, func() {}); !slices.Equal(got, []string{"two"}) {
		t.Errorf("listed are %v", got)
	}
}
