package orders_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/orders"
)

func TestValidPlacements(t *testing.T) {
	many := mugs("")
	many.Items = make([]orders.Line, orders.MaxLines)
	for i := range many.Items {
		many.Items[i] = orders.Line{SKU: "22632", Quantity: 1, UnitPriceMinor: 1}
	}
	for name, change := range map[string]func(*orders.Placement){
		"as it is":                func(*orders.Placement) {},
		"only what must be there": func(p *orders.Placement) { *p = orders.Placement{Currency: "GBP", Items: p.Items} },
		"the longest id":          func(p *orders.Placement) { p.OrderID = strings.Repeat("x", orders.MaxOrderIDLen) },
		"a reference with a C":    func(p *orders.Placement) { p.Reference = "C536379" },
		"a SKU with a space":      func(p *orders.Placement) { p.Items[0].SKU = "BANK CHARGES" },
		"a SKU in lower case":     func(p *orders.Placement) { p.Items[0].SKU = "15056bl" },
		"a SKU twice":             func(p *orders.Placement) { p.Items[1].SKU = p.Items[0].SKU },
		"the longest SKU":         func(p *orders.Placement) { p.Items[0].SKU = strings.Repeat("x", orders.MaxSKULen) },
		"a long text in Greek":    func(p *orders.Placement) { p.Items[0].Description = strings.Repeat("ω", orders.MaxTextLen) },
		"the largest quantity":    func(p *orders.Placement) { p.Items[0].Quantity = orders.MaxQuantity },
		"the largest total": func(p *orders.Placement) {
			p.Items = p.Items[:1]
			p.Items[0].Quantity = 1
			p.Items[0].UnitPriceMinor = orders.MaxTotalMinor
		},
		"the most lines":           func(p *orders.Placement) { *p = many },
		"the newest of currencies": func(p *orders.Placement) { p.Currency = "XCG" },
	} {
		p := mugs("")
		change(&p)
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneViolation(t *testing.T) {
	tooMany := make([]orders.Line, orders.MaxLines+1)
	for name, c := range map[string]struct {
		change            func(*orders.Placement)
		location, message string
	}{
		"id with a wildcard": {func(p *orders.Placement) { p.OrderID = "a.*" }, "body.order_id", "1 to 57 letters"},
		"id of the feed":     {func(p *orders.Placement) { p.OrderID = "events" }, "body.order_id", "must not be \"events\""},
		"id too long":        {func(p *orders.Placement) { p.OrderID = strings.Repeat("x", orders.MaxOrderIDLen+1) }, "body.order_id", "1 to 57 letters"},
		"reference":          {func(p *orders.Placement) { p.Reference = strings.Repeat("x", 101) }, "body.reference", "101 characters"},
		"customer":           {func(p *orders.Placement) { p.CustomerID = "1\r\n2" }, "body.customer_id", "line break"},
		"country":            {func(p *orders.Placement) { p.Country = "\xff" }, "body.country", "UTF-8"},
		"date":               {func(p *orders.Placement) { p.Date = strings.Repeat("1", 5000) }, "body.date", "5000 characters"},
		"no currency":        {func(p *orders.Placement) { p.Currency = "" }, "body.currency", "ISO 4217"},
		"small letters":      {func(p *orders.Placement) { p.Currency = "gbp" }, "body.currency", `"gbp" is no currency`},
		"unknown currency":   {func(p *orders.Placement) { p.Currency = "ABC" }, "body.currency", `"ABC" is no currency`},
		"old currency":       {func(p *orders.Placement) { p.Currency = "DEM" }, "body.currency", `"DEM" is no currency`},
		"gold":               {func(p *orders.Placement) { p.Currency = "XAU" }, "body.currency", `"XAU" is no currency`},
		"long currency":      {func(p *orders.Placement) { p.Currency = strings.Repeat("x", 9000) }, "body.currency", "this is no currency"},
		"no lines":           {func(p *orders.Placement) { p.Items = nil }, "body.items", "no lines"},
		"too many lines":     {func(p *orders.Placement) { p.Items = tooMany }, "body.items", "1001 lines"},
		"no SKU":             {func(p *orders.Placement) { p.Items[1].SKU = "" }, "body.items[1].sku", "missing"},
		"long SKU":           {func(p *orders.Placement) { p.Items[1].SKU = strings.Repeat("x", 300) }, "body.items[1].sku", "300 bytes"},
		"padded SKU":         {func(p *orders.Placement) { p.Items[1].SKU = "22632 " }, "body.items[1].sku", "space"},
		"SKU with a NUL":     {func(p *orders.Placement) { p.Items[1].SKU = "2\x002" }, "body.items[1].sku", "control character"},
		"description":        {func(p *orders.Placement) { p.Items[1].Description = strings.Repeat("x", 501) }, "body.items[1].description", "501 characters"},
		"quantity 0":         {func(p *orders.Placement) { p.Items[1].Quantity = 0 }, "body.items[1].quantity", "quantity is 0"},
		"negative quantity":  {func(p *orders.Placement) { p.Items[1].Quantity = -10 }, "body.items[1].quantity", "quantity is -10: a return or a correction"},
		"cancellation": {
			func(p *orders.Placement) { p.Reference, p.Items[1].Quantity = "C536379", -1 },
			"body.items[1].quantity", "a cancellation (quantity -1) is not an order",
		},
		"large quantity": {func(p *orders.Placement) { p.Items[1].Quantity = orders.MaxQuantity + 1 }, "body.items[1].quantity", "at most 1000000000"},
		"price 0":        {func(p *orders.Placement) { p.Items[1].UnitPriceMinor = 0 }, "body.items[1].unit_price_minor", "unit price is 0"},
		"negative price": {func(p *orders.Placement) { p.Items[1].UnitPriceMinor = -250 }, "body.items[1].unit_price_minor", "unit price is -250"},
		"large price": {
			func(p *orders.Placement) { p.Items[1].UnitPriceMinor = 1 << 62 },
			"body.items[1].unit_price_minor", "unit price is 4611686018427387904",
		},
		"large total": {
			func(p *orders.Placement) { p.Items[1].UnitPriceMinor = orders.MaxTotalMinor },
			"body.items", "more than 9007199254740991",
		},
		"a total that would wrap around": {
			func(p *orders.Placement) {
				p.Items[0].Quantity, p.Items[0].UnitPriceMinor = orders.MaxQuantity, orders.MaxTotalMinor
			},
			"body.items", "more than 9007199254740991",
		},
	} {
		p := mugs("")
		c.change(&p)
		err := p.Validate()
		v, typed := errors.AsType[orders.Violations](err)
		if !typed || !errors.Is(err, millrace.ErrInvalid) || len(v) != 1 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v[0].Location != c.location || !strings.Contains(v[0].Message, c.message) {
			t.Errorf("%s: %+v", name, v[0])
		}
	}
}

func TestAllViolationsAtOnce(t *testing.T) {
	p := orders.Placement{
		OrderID: "*", Reference: "a\n", Currency: "???",
		Items: []orders.Line{{SKU: "A", Quantity: 1, UnitPriceMinor: 1}, {Quantity: -1}, {SKU: "B", Quantity: 3, UnitPriceMinor: -1}},
	}
	err := p.Validate()
	v, _ := errors.AsType[orders.Violations](err)
	var locations []string
	for _, one := range v {
		locations = append(locations, one.Location)
	}
	want := []string{
		"body.order_id", "body.reference", "body.currency",
		"body.items[1].sku", "body.items[1].quantity", "body.items[1].unit_price_minor", "body.items[2].unit_price_minor",
	}
	if diff := cmp.Diff(want, locations); diff != "" {
		t.Error(diff)
	}
	text := fmt.Sprintf("this cannot be taken: body.order_id: %s; body.reference: %s; body.currency: %s; and 4 more", v[0].Message, v[1].Message, v[2].Message)
	if err.Error() != text {
		t.Errorf("%q", err)
	}
}
