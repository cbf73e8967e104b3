package orders_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/orders"
)

// invoice is a line of the sample file, read without our types.
type invoice struct {
	Reference  string `json:"reference"`
	CustomerID string `json:"customer_id"`
	Items      []struct {
		SKU      string      `json:"sku"`
		Quantity json.Number `json:"quantity"`
		Price    json.Number `json:"unit_price_minor"`
	} `json:"items"`
	raw []byte
}

func readSample(t *testing.T) (all []invoice) {
	t.Helper()
	data, err := os.ReadFile("testdata/online-retail-sample.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		inv := invoice{raw: line}
		if err := json.Unmarshal(line, &inv); err != nil {
			t.Fatal(err)
		}
		all = append(all, inv)
	}
	return all
}

// placement is the invoice as a client sends it, nothing but the known fields.
func (inv invoice) placement(t *testing.T) (p orders.Placement) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(inv.raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatal(err)
	}
	p.OrderID = millrace.DeriveID("sample", inv.Reference)
	return p
}

func number(n json.Number) *big.Int {
	i, ok := new(big.Int).SetString(n.String(), 10)
	if !ok {
		panic("not a number: " + n)
	}
	return i
}

// check is what the test itself makes of the invoice: its total, and where it has
// quantities and prices that no order can have.
func (inv invoice) check() (total *big.Int, quantities, prices []string) {
	total = new(big.Int)
	for i, item := range inv.Items {
		q, p := number(item.Quantity), number(item.Price)
		if q.Sign() <= 0 {
			quantities = append(quantities, fmt.Sprintf("body.items[%d].quantity", i))
		}
		if p.Sign() <= 0 {
			prices = append(prices, fmt.Sprintf("body.items[%d].unit_price_minor", i))
		}
		total.Add(total, new(big.Int).Mul(q, p))
	}
	return total, quantities, prices
}

func TestSample(t *testing.T) {
	s := openShop(t)
	s.work(t)
	sample := readSample(t)

	// Placed by many at once, as an import does.
	receipts := make([]orders.Receipt, len(sample))
	errs := make([]error, len(sample))
	place := func() {
		var placing sync.WaitGroup
		places := make(chan struct{}, 16)
		for i, inv := range sample {
			p := inv.placement(t)
			places <- struct{}{}
			placing.Go(func() {
				receipts[i], errs[i] = s.Place(t.Context(), p)
				<-places
			})
		}
		placing.Wait()
	}
	place()

	counts := map[string]int{}
	versions := map[string]string{}
	for i, inv := range sample {
		total, quantities, prices := inv.check()
		if len(quantities)+len(prices) > 0 {
			counts[checkRefusal(t, inv, errs[i], quantities, prices)]++
			continue
		}
		if errs[i] != nil {
			t.Errorf("%s: %v", inv.Reference, errs[i])
			continue
		}
		counts["accepted"]++
		if out := s.outcome(t, receipts[i].TaskID); out.State != orders.AwaitingPayment || total.Cmp(big.NewInt(out.TotalMinor)) != 0 {
			t.Errorf("%s: %+v, not %v", inv.Reference, out, total)
		}
		order, version := s.get(t, receipts[i].OrderID)
		versions[inv.Reference] = version
		if order.State != orders.AwaitingPayment || total.Cmp(big.NewInt(order.TotalMinor)) != 0 || order.Currency != "GBP" {
			t.Errorf("%s: %+v, not %v", inv.Reference, order, total)
		}
		if diff := cmp.Diff(inv.placement(t).Items, order.Items); diff != "" || order.CustomerID != inv.CustomerID {
			t.Errorf("%s of customer %q: %s", inv.Reference, order.CustomerID, diff)
		}
		inv.count(counts)
	}
	// As the sample's README says; the anonymous, the repeated SKUs and the
	// bank charges are of those that were accepted.
	want := map[string]int{
		"accepted": 423, "cancellation": 43, "return or correction": 30, "no price": 16,
		"anonymous": 23, "repeated SKU": 66, "593 lines": 1, "BANK CHARGES": 1,
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}

	// The same file again makes no second order and changes none.
	place()
	for i, inv := range sample {
		version, accepted := versions[inv.Reference]
		if !accepted {
			continue
		}
		if errs[i] != nil || receipts[i].Status != orders.AwaitingPayment {
			t.Errorf("%s again: %+v, %v", inv.Reference, receipts[i], errs[i])
		}
		if _, now := s.get(t, receipts[i].OrderID); now != version {
			t.Errorf("%s went from version %s to %s", inv.Reference, version, now)
		}
	}
	if last, err := s.store.LastSequence(t.Context(), millrace.DefaultQueue); err != nil || last != 423 {
		t.Errorf("%d tasks were submitted: %v", last, err)
	}
}

// checkRefusal checks that an invoice was refused for just what is wrong with it,
// and in the right words, and returns the reason.
func checkRefusal(t *testing.T, inv invoice, err error, quantities, prices []string) (reason string) {
	t.Helper()
	v, typed := errors.AsType[orders.Violations](err)
	if !typed {
		t.Errorf("%s: %v", inv.Reference, err)
		return "not refused"
	}
	want := map[string]string{}
	for _, at := range prices {
		want[at] = "unit price is 0"
		reason = "no price"
	}
	for _, at := range quantities {
		want[at] = "a return or a correction"
		reason = "return or correction"
		if strings.HasPrefix(inv.Reference, "C") {
			want[at] = "a cancellation"
			reason = "cancellation"
		}
	}
	for _, one := range v {
		if words, ok := want[one.Location]; !ok || !strings.Contains(one.Message, words) {
			t.Errorf("%s: %+v", inv.Reference, one)
		}
		delete(want, one.Location)
	}
	if len(want) > 0 {
		t.Errorf("%s: nothing is said of %v", inv.Reference, want)
	}
	return reason
}

// count counts what is odd about the invoice.
func (inv invoice) count(counts map[string]int) {
	if inv.CustomerID == "" {
		counts["anonymous"]++
	}
	if len(inv.Items) == 593 {
		counts["593 lines"]++
	}
	seen := map[string]bool{}
	repeated, charges := false, false
	for _, item := range inv.Items {
		repeated = repeated || seen[item.SKU]
		charges = charges || item.SKU == "BANK CHARGES"
		seen[item.SKU] = true
	}
	if repeated {
		counts["repeated SKU"]++
	}
	if charges {
		counts["BANK CHARGES"]++
	}
}
