package orders_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/orders"
	"millrace/streams"
)

// kept is everything in the bucket of the orders.
func (s shop) kept(t *testing.T) (all []streams.Entry) {
	t.Helper()
	all, err := s.store.Ledger().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Bad input is refused for what it is, and nothing has changed.
func TestRefusals(t *testing.T) {
	s := openShop(t)
	ctx := t.Context()
	for sku, n := range map[string]int64{"22632": 10, "BANK CHARGES": 10} {
		if _, _, err := s.SetStock(ctx, sku, n, ""); err != nil {
			t.Fatal(err)
		}
	}
	if results, err := s.Decide(ctx, placing(mugs("mine"), mugs("other"), mugs("closed"))...); err != nil || results[2].Err != nil {
		t.Fatal(results, err)
	}
	if _, _, err := s.Cancel(ctx, "closed", ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AdjustStock(ctx, "22632", orders.Adjustment{ID: "done", Delta: 2, Reason: "found"}); err != nil {
		t.Fatal(err)
	}
	fair := orders.Payment{Reference: "others", AmountMinor: mugsTotal, Currency: "GBP", CustomerID: "17850"}
	if _, _, err := s.Pay(ctx, "other", fair); err != nil {
		t.Fatal(err)
	}
	before := s.kept(t)

	place := func(change func(*orders.Placement)) func() error {
		return func() error {
			p := mugs("new")
			change(&p)
			_, err := s.Place(ctx, p)
			// And past Place, in a task of somebody's own making.
			if results, failed := s.Decide(ctx, placing(p)...); failed != nil || results[0].Err == nil && results[0].Value.State != orders.Rejected {
				t.Errorf("%+v is %+v, %v", p, results, failed)
			}
			return err
		}
	}
	pay := func(id string, change func(*orders.Payment)) func() error {
		return func() error {
			p := fair
			p.Reference = "new"
			change(&p)
			_, _, err := s.Pay(ctx, id, p)
			return err
		}
	}
	adjust := func(sku string, a orders.Adjustment) func() error {
		return func() error { _, _, err := s.AdjustStock(ctx, sku, a); return err }
	}
	set := func(sku string, n int64, version string) func() error {
		return func() error { _, _, err := s.SetStock(ctx, sku, n, version); return err }
	}
	long := strings.Repeat("x", 300)
	for what, c := range map[string]struct {
		try  func() error
		want error
	}{
		"a negative quantity":     {place(func(p *orders.Placement) { p.Items[0].Quantity = -1 }), millrace.ErrInvalid},
		"a negative price":        {place(func(p *orders.Placement) { p.Items[0].UnitPriceMinor = -1 }), millrace.ErrInvalid},
		"a total too large":       {place(func(p *orders.Placement) { p.Items[0].UnitPriceMinor = math.MaxInt64 }), millrace.ErrInvalid},
		"a total that overflows":  {place(func(p *orders.Placement) { p.Items[0].UnitPriceMinor, p.Items[0].Quantity = 1<<52, 1<<12 }), millrace.ErrInvalid},
		"no such currency":        {place(func(p *orders.Placement) { p.Currency = "XXX" }), millrace.ErrInvalid},
		"no lines":                {place(func(p *orders.Placement) { p.Items = nil }), millrace.ErrInvalid},
		"1,001 lines":             {place(func(p *orders.Placement) { p.Items = manyLines(1001, 1) }), millrace.ErrInvalid},
		"1,000 SKUs":              {place(func(p *orders.Placement) { p.Items = manyLines(1000, 1000) }), millrace.ErrInvalid},
		"a long SKU":              {place(func(p *orders.Placement) { p.Items[0].SKU = long }), millrace.ErrInvalid},
		"an id that is none":      {place(func(p *orders.Placement) { p.OrderID = "a.b" }), millrace.ErrInvalid},
		"too little money":        {pay("mine", func(p *orders.Payment) { p.AmountMinor-- }), millrace.ErrInvalid},
		"negative money":          {pay("mine", func(p *orders.Payment) { p.AmountMinor *= -1 }), millrace.ErrInvalid},
		"other money":             {pay("mine", func(p *orders.Payment) { p.Currency = "EUR" }), millrace.ErrInvalid},
		"unknown money":           {pay("mine", func(p *orders.Payment) { p.Currency = "GB" }), millrace.ErrInvalid},
		"somebody else's money":   {pay("mine", func(p *orders.Payment) { p.CustomerID = "17851" }), millrace.ErrInvalid},
		"another order's money":   {pay("mine", func(p *orders.Payment) { p.Reference = "others" }), millrace.ErrConflict},
		"other money once more":   {pay("other", func(p *orders.Payment) { p.Reference = "others"; p.AmountMinor++ }), millrace.ErrConflict},
		"another's once more":     {pay("other", func(p *orders.Payment) { p.Reference = "others"; p.CustomerID = "17851" }), millrace.ErrInvalid},
		"no reference":            {pay("mine", func(p *orders.Payment) { p.Reference = "" }), millrace.ErrInvalid},
		"a long reference":        {pay("mine", func(p *orders.Payment) { p.Reference = long }), millrace.ErrInvalid},
		"money for nothing":       {pay("nobody", func(*orders.Payment) {}), millrace.ErrNotFound},
		"money for >":             {pay(">", func(*orders.Payment) {}), millrace.ErrInvalid},
		"to cancel what is paid":  {func() error { _, _, err := s.Cancel(ctx, "other", ""); return err }, millrace.ErrConflict},
		"to cancel nothing":       {func() error { _, _, err := s.Cancel(ctx, "nobody", ""); return err }, millrace.ErrNotFound},
		"to fulfil what is not":   {func() error { _, _, err := s.Fulfil(ctx, "mine"); return err }, millrace.ErrConflict},
		"less than is reserved":   {set("22632", 3, ""), millrace.ErrConflict},
		"fewer than none":         {set("22632", -1, ""), millrace.ErrInvalid},
		"stock of before":         {set("22632", 50, "s1"), orders.ErrChanged},
		"stock that is not there": {set("none", 50, "*"), orders.ErrChanged},
		"stock of a long SKU":     {set(long, 50, ""), millrace.ErrInvalid},
		"to take what is held":    {adjust("22632", orders.Adjustment{Delta: -9, Reason: "lost"}), millrace.ErrConflict},
		"an overflow":             {adjust("22632", orders.Adjustment{Delta: math.MaxInt64, Reason: "found"}), millrace.ErrInvalid},
		"an underflow":            {adjust("22632", orders.Adjustment{Delta: math.MinInt64, Reason: "lost"}), millrace.ErrInvalid},
		"nothing":                 {adjust("22632", orders.Adjustment{Reason: "counted"}), millrace.ErrInvalid},
		"no reason":               {adjust("22632", orders.Adjustment{Delta: 1}), millrace.ErrInvalid},
		"of what is not tracked":  {adjust("none", orders.Adjustment{Delta: 1, Reason: "found"}), millrace.ErrNotFound},
		"a large id":              {adjust("22632", orders.Adjustment{ID: strings.Repeat("x", 300<<10), Delta: 1, Reason: "found"}), millrace.ErrInvalid},
		"another one of that id":  {adjust("22632", orders.Adjustment{ID: "done", Delta: 3, Reason: "found"}), millrace.ErrConflict},
	} {
		if err := c.try(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
		after := s.kept(t)
		// A hand-made task becomes an order that is rejected, which is all.
		if n := len(after) - 1; n == len(before) && after[n].Key == "order.new" {
			if o, version := s.get(t, "new"); o.State == orders.Rejected {
				if err := s.store.Ledger().Delete(ctx, "order.new", revisionOf(t, version)); err != nil {
					t.Fatal(err)
				}
			}
			after = s.kept(t)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("%s has changed something: %s", what, diff)
		}
	}
	// What is done once more is no change either.
	if _, _, err := s.AdjustStock(ctx, "22632", orders.Adjustment{ID: "done", Delta: 2, Reason: "found"}); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Pay(ctx, "other", orders.Payment{Reference: "others", AmountMinor: mugsTotal, Currency: "GBP"}); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Cancel(ctx, "closed", "again"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, s.kept(t)); diff != "" {
		t.Error(diff)
	}
	if last, err := s.store.LastSequence(ctx, millrace.DefaultQueue); err != nil || last != 1 {
		t.Errorf("%d tasks were submitted, %v", last, err) // the one that fulfils what was paid
	}
}

func revisionOf(t *testing.T, version string) (n uint64) {
	t.Helper()
	if _, err := fmt.Sscanf(version, "o%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func manyLines(n, skus int) (lines []orders.Line) {
	for i := range n {
		lines = append(lines, orders.Line{SKU: fmt.Sprint(i % skus), Quantity: 1, UnitPriceMinor: 1})
	}
	return lines
}
