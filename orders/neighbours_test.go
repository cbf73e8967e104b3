package orders_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/orders"
	"millrace/streams"
)

// placing are the tasks of placements, as a worker is given them.
func placing(all ...orders.Placement) []millrace.Task[orders.Placement] {
	tasks := make([]millrace.Task[orders.Placement], len(all))
	for i, p := range all {
		tasks[i] = millrace.Task[orders.Placement]{ID: p.OrderID + "-placed", Kind: orders.KindPlaced, Args: p, SubmittedAt: time.Now()}
	}
	return tasks
}

// An order that cannot be read, or that is larger than the broker takes, fails, and
// those beside it do not.
func TestABadOrderFailsAlone(t *testing.T) {
	s := openShop(t)
	for key, value := range map[string]string{
		"order.torn": `{"id":"torn"`, "order.alien": `{"id":"other","state":"awaiting_payment"}`, "order.empty": `{}`, "order.null": "null", "stock.torn": `{`,
	} {
		if _, err := s.store.Ledger().Commit(t.Context(), []streams.Write{{Key: key, Value: []byte(value)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.SetStock(t.Context(), "22632", 5, ""); err != nil {
		t.Fatal(err)
	}
	large := mugs("large") // past Place, which does not take it
	large.Items = make([]orders.Line, orders.MaxLines)
	for i := range large.Items {
		large.Items[i] = orders.Line{SKU: "22632", Description: strings.Repeat("&", orders.MaxTextLen), Quantity: 1, UnitPriceMinor: 1}
	}
	large.Items[0].Quantity, large.Items = 2, large.Items[:orders.MaxLines-1]
	untorn := mugs("untorn")
	untorn.Items[1].SKU = "torn"
	nameless := mugs("")
	if _, _, err := s.SetStock(t.Context(), "22632", 5000, ""); err != nil {
		t.Fatal(err)
	}

	tasks := placing(mugs("first"), mugs("torn"), large, nameless, mugs("second"), mugs("alien"), mugs("empty"), mugs("null"), untorn, mugs("third"))
	results, err := s.Decide(t.Context(), tasks...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		id := tasks[i].Args.OrderID
		good := id == "first" || id == "second" || id == "third"
		if good != (r.Err == nil) || good && r.Value.State != orders.AwaitingPayment {
			t.Errorf("%q: %+v", id, r)
		}
		if id == "large" && !errors.Is(r.Err, millrace.ErrInvalid) {
			t.Errorf("the large one: %v", r.Err)
		}
	}
	if stock, _, err := s.Stock(t.Context(), "22632"); err != nil || stock.Reserved != 6 {
		t.Errorf("%+v, %v", stock, err)
	}

	for _, id := range []string{"torn", "alien", "empty", "null"} {
		if _, _, err := s.Pay(t.Context(), id, orders.Payment{Reference: "r", AmountMinor: mugsTotal, Currency: "GBP"}); err == nil {
			t.Errorf("%s is paid", id)
		}
		if _, _, err := s.Cancel(t.Context(), id, ""); err == nil {
			t.Errorf("%s is cancelled", id)
		}
		if o, _, err := s.Get(t.Context(), id); err == nil {
			t.Errorf("%s is %+v", id, o)
		}
	}
	if r, err := s.Reconcile(t.Context()); err != nil || r.Looked != 3 || r.Expired+r.Unfulfilled > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
