package orders

import (
	"fmt"
	"strings"
	"testing"

	"millrace/streams"
)

// No page is larger than a commit may be, if its first order alone is not.
func TestPages(t *testing.T) {
	line := func(sku int, text string) Line {
		return Line{SKU: fmt.Sprint(sku), Description: text, Quantity: 1, UnitPriceMinor: 1}
	}
	small := Placement{OrderID: "small", Currency: "GBP", Items: []Line{line(1, "")}}
	large, wide := small, small
	large.OrderID, wide.OrderID = "large", "wide"
	for i := range 900 {
		large.Items = append(large.Items, line(1, strings.Repeat("x", MaxTextLen)))
		wide.Items = append(wide.Items, line(i, ""))
	}
	b := newBooks(Config{})
	stored := &leaf[Order]{size: 900 << 10}
	b.orders["stored"] = stored
	for _, c := range []struct {
		commands []*command
		want     int
	}{
		{[]*command{placing(small, nil), placing(small, nil), placing(small, nil)}, 3},
		{[]*command{placing(large, nil), placing(large, nil), placing(large, nil), placing(large, nil), placing(large, nil), placing(large, nil), placing(large, nil), placing(large, nil), placing(large, nil)}, streams.MaxCommit / (901 * 610)},
		{[]*command{placing(wide, nil), placing(small, nil), placing(wide, nil)}, 2},
		{[]*command{placing(wide, nil), placing(wide, nil)}, 1},
		{[]*command{{order: "stored"}, {order: "stored"}, {order: "stored"}, {order: "stored"}, {order: "stored"}, {order: "stored"}}, 4},
		{[]*command{{order: "new"}, {order: "new", alone: true}, {order: "new"}}, 1},
		{[]*command{{order: "new", alone: true}, {order: "new"}}, 1},
		{[]*command{{order: "hot"}, {order: "new"}}, 1},
		{[]*command{{order: "hot"}, {order: "hot"}}, 2},
	} {
		contest := newContest()
		contest.keys[orderKey("hot")] = true
		if got := b.pageful(c.commands, contest); got != c.want {
			t.Errorf("%d of %d commands of which the first is about %q", got, len(c.commands), c.commands[0].order)
		}
	}
}
