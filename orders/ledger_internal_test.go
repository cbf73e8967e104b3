package orders

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"millrace/embedded"
	"millrace/streams"
)

// No page is larger than a commit may be, if its first order alone is not.
func TestPages(t *testing.T) {
	line := func(sku int, text string) Line {
		return Line{SKU: fmt.Sprint(sku), Description: text, Quantity: 1, UnitPriceMinor: 1}
	}
	small := Placement{OrderID: "small", Currency: "GBP", Items: []Line{line(1, "")}}
	large, wide, other := small, small, small
	large.OrderID, wide.OrderID, other.OrderID = "large", "wide", "other"
	for i := range 900 {
		large.Items = append(large.Items, line(1, strings.Repeat("x", MaxTextLen)))
		wide.Items = append(wide.Items, line(i, ""))
		other.Items = append(other.Items, line(1000+i, ""))
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
		{[]*command{placing(wide, nil), placing(small, nil), placing(other, nil)}, 2},
		{[]*command{placing(wide, nil), placing(other, nil)}, 1},
		{[]*command{placing(wide, nil), placing(wide, nil)}, 2}, // each entry is written once
		{[]*command{{order: "stored"}, {order: "stored"}, {order: "stored"}, {order: "stored"}, {order: "stored"}, {order: "stored"}}, 4},
		{[]*command{{order: "new"}, {order: "new", alone: true}, {order: "new"}}, 1},
		{[]*command{{order: "new", alone: true}, {order: "new"}}, 1},
	} {
		if got := min(pageful(c.commands), fitting(b, c.commands)); got != c.want {
			t.Errorf("%d of %d commands of which the first is about %q", got, len(c.commands), c.commands[0].order)
		}
	}
}

// openLedger is a shop with ten of two SKUs, and what takes one of those.
func openLedger(t *testing.T) (o *Orders, take func(sku string, before func()) error) {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Config{DataDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	store, err := streams.Open(t.Context(), streams.Config{InProcess: server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	o = New(store, Config{})
	for i, err := range o.SetStocks(t.Context(), []Count{{"HOT", 10}, {"COLD", 10}}) {
		if err != nil {
			t.Fatal(i, err)
		}
	}
	return o, func(sku string, before func()) error {
		return o.ledger.do(t.Context(), &command{skus: []string{sku}, apply: func(b *books) error {
			before()
			b.stock[sku].write(b.stock[sku].value.reserved(1, b.now))
			return nil
		}})[0]
	}
}

// Somebody dies when it is their turn. Who waits for the next one does not do so for
// long, and holds up nobody who is after other goods.
func TestADeadOnesTurn(t *testing.T) {
	o, take := openLedger(t)
	if _, err := o.bucket.TakeTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 3 {
		o.ledger.contest.changed[stockKey("HOT")] = time.Now()
		hot := make(chan error, 1)
		go func() { hot <- take("HOT", func() {}) }()
		if err := errors.Join(take("COLD", func() {}), <-hot); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

// One entry changes whenever it is to be written. Who comes meanwhile, for another one,
// is dealt with in the next round.
func TestAContestHoldsUpNobody(t *testing.T) {
	mine, take := openLedger(t)
	rival := New(mine.store, Config{})
	cold := make(chan error, 1)
	rounds, disturbed := 0, true
	err := take("HOT", func() {
		if rounds++; rounds == 1 {
			go func() { cold <- take("COLD", func() {}) }()
			for waits := 0; waits == 0; runtime.Gosched() {
				mine.ledger.mu.Lock()
				waits = len(mine.ledger.waiting)
				mine.ledger.mu.Unlock()
			}
		}
		disturbed = disturbed && rounds < 10 && len(cold) == 0
		if disturbed {
			if _, _, err := rival.AdjustStock(t.Context(), "HOT", Adjustment{Delta: 1, Reason: "to be in the way"}); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || rounds > 5 {
		t.Errorf("it took %d rounds: %v", rounds, err)
	}
	if err := <-cold; err != nil {
		t.Error(err)
	}
	if s, _, err := mine.Stock(t.Context(), "HOT"); err != nil || s.Reserved != 1 || s.OnHand != int64(10+rounds-1) {
		t.Errorf("after %d rounds: %+v, %v", rounds, s, err)
	}
}
