package orders

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"millrace"
	"millrace/streams"
)

// shelf is the model of the books: it has no counters, but counts.
type shelf struct {
	start  map[string]int64 // of what is tracked, with its adjustments
	orders map[string]*parcel
	paid   map[string]string // whose a payment is
}

type parcel struct {
	state State
	wants map[string]int64
	payBy time.Time
}

// taken is how many of a SKU orders in one of those states have.
func (s *shelf) taken(sku string, states ...State) (n int64) {
	for _, p := range s.orders {
		if slices.Contains(states, p.state) {
			n += p.wants[sku]
		}
	}
	return n
}

func (s *shelf) stock(sku string) Stock {
	sold := s.taken(sku, Fulfilled)
	return Stock{SKU: sku, OnHand: s.start[sku] - sold, Reserved: s.taken(sku, AwaitingPayment, Paid), Sold: sold}
}

// place says what must become of an order.
func (s *shelf) place(id string, items []Line, payBy time.Time) State {
	if p := s.orders[id]; p != nil {
		return p.state
	}
	p := &parcel{state: AwaitingPayment, wants: map[string]int64{}, payBy: payBy}
	for _, l := range items {
		if _, tracked := s.start[l.SKU]; tracked {
			p.wants[l.SKU] += l.Quantity
		}
	}
	for sku, n := range p.wants {
		if n > s.stock(sku).Available() {
			p.state = Rejected
		}
	}
	s.orders[id] = p
	return p.state
}

// Random commands on the books come to what counting comes to.
func TestBooksBalance(t *testing.T) {
	skus := []string{"A", "a", "BANK CHARGES", "untracked"}
	rapid.Check(t, func(t *rapid.T) {
		s := &shelf{start: map[string]int64{}, orders: map[string]*parcel{}, paid: map[string]string{}}
		b := newBooks(Config{}.withDefaults())
		for i, sku := range skus {
			b.stock[sku] = leafOf[Stock](streams.Entry{})
			if i < 3 {
				s.start[sku] = rapid.Int64Range(0, 12).Draw(t, "start")
				first, err := b.stock[sku].value.counted(s.start[sku], b.now)
				if err != nil {
					t.Fatal(err)
				}
				first.SKU = sku
				b.stock[sku].write(first)
			}
		}
		ids := []string{"o0", "o1", "o2", "o3", "o4", "o5"}
		placements := map[string]Placement{}
		for _, id := range ids {
			b.orders[id] = leafOf[Order](streams.Entry{})
			p := Placement{OrderID: id, Currency: "GBP"}
			for range rapid.IntRange(1, 4).Draw(t, "lines") {
				p.Items = append(p.Items, Line{
					SKU: rapid.SampledFrom(skus).Draw(t, "sku"), UnitPriceMinor: 1, Quantity: rapid.Int64Range(1, 6).Draw(t, "quantity"),
				})
			}
			placements[id] = p
		}
		for _, reference := range ids {
			b.payments[reference] = leafOf[string](streams.Entry{})
		}
		for i := range rapid.IntRange(1, 60).Draw(t, "commands") {
			id := rapid.SampledFrom(ids).Draw(t, "order")
			p := s.orders[id]
			before := b.snapshot()
			changes := true
			var err error
			switch what := rapid.SampledFrom([]string{"place", "pay", "cancel", "expire", "fulfil", "adjust", "wait"}).Draw(t, "what"); what {
			case "place":
				changes = p == nil
				var order Order
				order, err = b.place(placements[id], "task", b.now)
				if want := s.place(id, placements[id].Items, b.now.Add(30*time.Minute)); order.State != want {
					t.Fatalf("%s is %s, not %s", id, order.State, want)
				}
			case "pay":
				reference := rapid.SampledFrom(ids).Draw(t, "reference")
				total, _ := Total(placements[id].Items)
				amount := total + rapid.Int64Range(0, 1).Draw(t, "too much")
				_, err = b.pay(id, Payment{Reference: reference, AmountMinor: amount, Currency: "GBP"})
				whose, seen := s.paid[reference]
				fails := p == nil || amount != total || seen && whose != id
				if (err != nil) != fails {
					t.Fatalf("%s of %d for %s: %v", reference, amount, id, err)
				}
				if changes = !fails && !seen; changes {
					s.paid[reference] = id
					if p.state == AwaitingPayment {
						p.state = Paid
					}
				}
			case "cancel":
				_, err = b.cancel(id, nil, "")
				if changes = p != nil && p.state == AwaitingPayment; changes {
					p.state = Cancelled
				} else if (err == nil) != (p != nil && p.state == Cancelled) {
					t.Fatalf("cancel %s: %v", id, err)
				}
			case "expire":
				var expired bool
				_, expired, err = b.expire(id, "task")
				if changes = p != nil && p.state == AwaitingPayment && !b.now.Before(p.payBy); changes {
					p.state = Expired
				}
				if expired != changes || (err != nil) != (p == nil) {
					t.Fatalf("expire %s: %v, %v", id, expired, err)
				}
			case "fulfil":
				_, err = b.fulfil(id, "task")
				if changes = p != nil && p.state == Paid; changes {
					p.state = Fulfilled
				} else if (err == nil) != (p != nil && p.state == Fulfilled) {
					t.Fatalf("fulfil %s: %v", id, err)
				}
			case "adjust":
				sku := rapid.SampledFrom(skus[:3]).Draw(t, "sku")
				delta := rapid.Int64Range(-8, 8).Draw(t, "delta")
				leaf := b.stock[sku]
				var next Stock
				next, err = leaf.value.adjusted(Adjustment{ID: fmt.Sprint(i), Delta: delta, At: b.now})
				if changes = err == nil; changes {
					leaf.write(next)
					s.start[sku] += delta
				} else if s.stock(sku).Available()+delta >= 0 || !errors.Is(err, millrace.ErrConflict) && !errors.Is(err, millrace.ErrInvalid) {
					t.Fatalf("adjust %+v by %d: %v", leaf.value, delta, err)
				}
			case "wait":
				b.now = b.now.Add(10 * time.Minute)
				changes = false
			}
			if diff := cmp.Diff(before, b.snapshot()); changes != (diff != "") {
				t.Fatalf("changes: %v, %v: %s", changes, err, diff)
			}
			s.compare(t, b)
		}
	})
}

// compare fails the test unless the books say what the model does.
func (s *shelf) compare(t *rapid.T, b *books) {
	t.Helper()
	for sku := range s.start {
		got := b.stock[sku].value
		got.UpdatedAt, got.Adjustments = time.Time{}, nil
		if diff := cmp.Diff(s.stock(sku), got); diff != "" || got.Reserved < 0 || got.Reserved > got.OnHand {
			t.Fatalf("stock: %s", diff)
		}
	}
	if b.stock["untracked"].there {
		t.Fatal("what is not tracked is")
	}
	for id, p := range s.orders {
		order := b.orders[id].value
		held := map[string]int64{}
		for _, h := range order.Holds {
			held[h.SKU] += h.Quantity
		}
		want := p.wants
		if p.state.Final() {
			want = map[string]int64{}
		}
		if diff := cmp.Diff(want, held); diff != "" || order.State != p.state {
			t.Fatalf("%s is %s, not %s: %s", id, order.State, p.state, diff)
		}
	}
	for reference, id := range s.paid {
		if leaf := b.payments[reference]; !leaf.there || leaf.value != id {
			t.Fatalf("%s is of %+v", reference, leaf)
		}
	}
}

// snapshot is all that the books say.
func (b *books) snapshot() map[string]any {
	all := map[string]any{}
	for id, leaf := range b.orders {
		all[orderKey(id)] = leaf.value
	}
	for sku, leaf := range b.stock {
		all[stockKey(sku)] = leaf.value
	}
	for reference, leaf := range b.payments {
		all[paymentKey(reference)] = leaf.value
	}
	return all
}
