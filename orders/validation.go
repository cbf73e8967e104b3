package orders

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"millrace"
)

// Validate returns everything that is wrong with p as [Violations], or nil.
func (p Placement) Validate() error {
	var v Violations
	if p.OrderID != "" && validateOrderID(p.OrderID) != nil {
		v.add("body.order_id", "the order's id may have 1 to %d letters, digits, \"_\" and \"-\", and must not be \"events\"", MaxOrderIDLen)
	}
	v.text("body.reference", p.Reference, MaxNameLen)
	v.text("body.customer_id", p.CustomerID, MaxNameLen)
	v.text("body.country", p.Country, MaxNameLen)
	if !isCurrency(p.Currency) {
		v.add("body.currency", "%s is no currency: give its ISO 4217 code, three capital letters such as \"GBP\"", quote(p.Currency))
	}
	v.text("body.date", p.Date, MaxNameLen)
	v.items(p)
	if len(v) > 0 {
		return v
	}
	return nil
}

// validateOrderID says what is wrong with an order's id, or nil. It leaves room
// for the ids of the order's tasks.
func validateOrderID(id string) error {
	if len(id) > MaxOrderIDLen {
		return fmt.Errorf("%w: an order's id must have 1 to %d characters, not %d", millrace.ErrInvalid, MaxOrderIDLen, len(id))
	}
	if id == "events" { // it is where the feed of all orders is
		return fmt.Errorf("%w: an order's id must not be \"events\"", millrace.ErrInvalid)
	}
	return millrace.ValidateID(id)
}

func (v *Violations) items(p Placement) {
	switch n := len(p.Items); {
	case n == 0:
		v.add("body.items", "the order has no lines: it needs at least one")
		return
	case n > MaxLines:
		// Not looked at: there could be any number of them.
		v.add("body.items", "the order has %d lines, and %d is the most: place it as several orders", n, MaxLines)
		return
	}
	before := len(*v)
	cancellation := strings.HasPrefix(p.Reference, "C")
	for i, l := range p.Items {
		v.line(fmt.Sprintf("body.items[%d]", i), l, cancellation)
	}
	if n := differentSKUs(p.Items); n > MaxSKUs {
		v.add("body.items", "the order names %d different SKUs, and %d is the most: place it as several orders", n, MaxSKUs)
	}
	if _, err := Total(p.Items); err != nil && len(*v) == before {
		v.add("body.items", "the total of the order is more than %d minor units: place it as several orders", int64(MaxTotalMinor))
	}
}

func differentSKUs(items []Line) int {
	seen := make(map[string]bool, len(items))
	for _, l := range items {
		seen[l.SKU] = true
	}
	return len(seen)
}

func (v *Violations) line(at string, l Line, cancellation bool) {
	v.sku(at+".sku", l.SKU)
	v.text(at+".description", l.Description, MaxTextLen)
	switch q := l.Quantity; {
	case q < 0 && cancellation:
		v.add(at+".quantity", "a cancellation (quantity %d) is not an order: cancel or refund the order that it takes back", q)
	case q < 0:
		v.add(at+".quantity", "quantity is %d: a return or a correction of the stock is not an order, which takes at least 1", q)
	case q == 0:
		v.add(at+".quantity", "quantity is 0: order at least 1, or leave the line out")
	case q > MaxQuantity:
		v.add(at+".quantity", "quantity is %d: one line takes at most %d", q, MaxQuantity)
	}
	switch price := l.UnitPriceMinor; {
	case price < 0:
		v.add(at+".unit_price_minor", "unit price is %d: a discount or a refund is not goods; give what one costs, at least 1", price)
	case price == 0:
		v.add(at+".unit_price_minor", "unit price is 0: goods without a price, such as samples and corrections of the stock, cannot be ordered")
	case price > MaxTotalMinor:
		v.add(at+".unit_price_minor", "unit price is %d: at most %d minor units are taken", price, int64(MaxTotalMinor))
	}
}

func (v *Violations) sku(at, sku string) {
	switch {
	case sku == "":
		v.add(at, "the SKU is missing")
	case len(sku) > MaxSKULen:
		v.add(at, "the SKU has %d bytes, and %d is the most", len(sku), MaxSKULen)
	case strings.TrimSpace(sku) != sku:
		// Else "85123A" and "85123A " would be two goods that look like one.
		v.add(at, "the SKU begins or ends with a space")
	default:
		v.text(at, sku, MaxSKULen)
	}
}

// text takes any text that fits on a line, of so many characters at most.
func (v *Violations) text(at, s string, most int) {
	switch {
	case len(s) > most && utf8.RuneCountInString(s) > most:
		v.add(at, "the text has %d characters, and %d is the most", utf8.RuneCountInString(s), most)
	case !utf8.ValidString(s):
		v.add(at, "the text is not UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		v.add(at, "the text holds a line break, a tab or another control character")
	}
}

// quote shows what was sent, if it is short.
func quote(s string) string {
	if len(s) > 10 {
		return "this"
	}
	return fmt.Sprintf("%q", s)
}
