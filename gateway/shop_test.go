package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"millrace/orders"
	"millrace/processor"
	"millrace/streams"
)

// shop is a gateway that serves orders, and a customer who asks it.
type shop struct {
	t      *testing.T
	url    string
	store  *streams.Store
	orders *orders.Orders
}

func openShop(t *testing.T, cfg orders.Config) shop {
	t.Helper()
	store := newStore(t)
	s := shop{t: t, store: store, orders: orders.New(store, cfg)}
	g, err := New(store, Config{Listen: "127.0.0.1:0", Orders: s.orders})
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + g.Addr().String()
	s.run(g.Run)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

func (s shop) run(service func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

// work starts a worker.
func (s shop) work() {
	p := processor.New(s.store, processor.Config{})
	s.orders.Register(p)
	s.run(p.Run)
}

// ask sends a request, which must be answered with that status.
func (s shop) ask(want int, method, path, body string, header ...string) (*http.Response, map[string]any) {
	s.t.Helper()
	resp, answer := ask(s.t, method, s.url+path, body, header...)
	if resp.StatusCode != want {
		s.t.Fatalf("%s %s %s: %d %v, want %d", method, path, body, resp.StatusCode, answer, want)
	}
	return resp, answer
}

// refused sends a request in which there must be something wrong at each of those
// places.
func (s shop) refused(method, path, body string, locations ...string) {
	s.t.Helper()
	resp, p := ask(s.t, method, s.url+path, body)
	wantViolations(s.t, resp, p, locations...)
}

// buy places an order of so many of a SKU, at 2.50, and waits until it is decided on.
func (s shop) buy(id, sku string, quantity int) (order map[string]any) {
	s.t.Helper()
	items, err := json.Marshal([]orders.Line{{SKU: sku, Quantity: int64(quantity), UnitPriceMinor: 250}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.ask(202, "POST", "/v1/orders", fmt.Sprintf(`{"order_id":%q,"customer_id":"17850","currency":"GBP","items":%s}`, id, items))
	s.ask(200, "GET", "/v1/tasks/"+id+"-placed?wait=5s", "")
	_, order = s.ask(200, "GET", "/v1/orders/"+id, "")
	return order
}

// payment is what pays for one at 2.50.
func payment(reference string) string {
	return fmt.Sprintf(`{"reference":%q,"amount_minor":250,"currency":"GBP"}`, reference)
}

// wantStock fails the test unless the stock of a SKU is that.
func (s shop) wantStock(sku, onHand, reserved, available, sold string) {
	s.t.Helper()
	_, stock := s.ask(200, "GET", "/v1/stock/"+sku, "")
	got := fmt.Sprintf("%v %v %v %v", stock["on_hand"], stock["reserved"], stock["available"], stock["sold"])
	if want := strings.Join([]string{onHand, reserved, available, sold}, " "); got != want {
		s.t.Errorf("%s has %s, want %s", sku, got, want)
	}
}
