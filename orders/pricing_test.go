package orders_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"millrace"
	"millrace/orders"
)

func TestTotal(t *testing.T) {
	const most = orders.MaxTotalMinor
	line := func(quantity, price int64) orders.Line {
		return orders.Line{SKU: "A", Quantity: quantity, UnitPriceMinor: price}
	}
	for _, c := range []struct {
		items []orders.Line
		want  int64
		fails bool
	}{
		{nil, 0, false},
		{[]orders.Line{line(2, 250), line(1, 399), line(2, 250)}, 1399, false},
		{[]orders.Line{line(1, most)}, most, false},
		{[]orders.Line{line(most, 1)}, most, false},
		{[]orders.Line{line(1, most-1), line(1, 1)}, most, false},
		{[]orders.Line{line(1, most), line(1, 1)}, 0, true},
		{[]orders.Line{line(2, most/2+1)}, 0, true},
		{[]orders.Line{line(math.MaxInt64, math.MaxInt64)}, 0, true},
		{[]orders.Line{line(1<<32, 1<<32)}, 0, true}, // wraps around to 0
		{[]orders.Line{line(3, 1<<63/3+1)}, 0, true},
		{[]orders.Line{line(-1, -250)}, 0, true},
		{[]orders.Line{line(math.MinInt64, -1)}, 0, true},
		{[]orders.Line{line(0, 250)}, 0, true},
		{[]orders.Line{line(1, 0)}, 0, true},
	} {
		got, err := orders.Total(c.items)
		if got != c.want || c.fails != errors.Is(err, millrace.ErrInvalid) || c.fails != (err != nil) {
			t.Errorf("%v: %d, %v", c.items, got, err)
		}
	}
}

func TestTotalIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Small and large ones mixed, so that sums come out on both sides of the limit.
		number := rapid.OneOf(rapid.Int64Range(-1, 1000), rapid.Int64Range(0, 1<<27), rapid.Int64())
		items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) orders.Line {
			return orders.Line{SKU: "A", Quantity: number.Draw(t, "quantity"), UnitPriceMinor: number.Draw(t, "price")}
		}), 0, 20).Draw(t, "items")
		checkTotal(t, items)
	})
}

// checkTotal compares Total with arithmetic that cannot overflow.
func checkTotal(t interface{ Fatalf(string, ...any) }, items []orders.Line) {
	total, err := orders.Total(items)
	want, priced := new(big.Int), true
	for _, l := range items {
		priced = priced && l.Quantity > 0 && l.UnitPriceMinor > 0
		want.Add(want, new(big.Int).Mul(big.NewInt(l.Quantity), big.NewInt(l.UnitPriceMinor)))
	}
	fits := priced && want.Cmp(big.NewInt(orders.MaxTotalMinor)) <= 0
	if fits != (err == nil) || fits && want.Cmp(big.NewInt(total)) != 0 {
		t.Fatalf("the total is %v; got %d, %v", want, total, err)
	}
}

// Whatever is sent: it is read or refused without a panic, a valid order has an
// exact total, and reading it back gives the same order, on which its being
// placed once depends.
func FuzzPlacement(f *testing.F) {
	f.Add([]byte(`{"reference":"536365","customer_id":"17850","country":"United Kingdom","currency":"GBP","date":"1/12/2010",` +
		`"items":[{"sku":"85123A","description":"WHITE HANGING HEART T-LIGHT HOLDER","quantity":6,"unit_price_minor":255},` +
		`{"sku":"BANK CHARGES","description":"","quantity":1,"unit_price_minor":1500}]}`))
	f.Add([]byte(`{"reference":"C536379","currency":"GBP","items":[{"sku":"D","quantity":-1,"unit_price_minor":2750}]}`))
	f.Add([]byte(`{"order_id":"a-1","currency":"JPY","items":[{"sku":"\u00e4 <&>\ud800","quantity":1000000000,"unit_price_minor":9007199254740991}]}`))
	f.Add([]byte(`{"currency":"EUR","items":[{"sku":"A","quantity":9007199254740991,"unit_price_minor":9223372036854775807}]}`))
	f.Add([]byte(`{"currency":"EUR","items":[null,{}],"date":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p orders.Placement
		if json.Unmarshal(data, &p) != nil {
			return
		}
		checkTotal(t, p.Items)
		if err := p.Validate(); err != nil {
			if v, typed := errors.AsType[orders.Violations](err); !typed || len(v) == 0 || err.Error() == "" {
				t.Fatalf("refused with %#v", err)
			}
			return
		}
		if _, err := orders.Total(p.Items); err != nil {
			t.Fatalf("valid, but without a total: %v", err)
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q orders.Placement
		if err := json.Unmarshal(again, &q); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, q); diff != "" {
			t.Fatal(diff)
		}
	})
}
