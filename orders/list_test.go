package orders_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/orders"
)

// reopen is the shop with another configuration.
func (s shop) reopen(cfg orders.Config) shop {
	s.Orders = orders.New(s.store, cfg)
	return s
}

// open places an order and waits until it can be paid.
func (s shop) open(t *testing.T, p orders.Placement) {
	t.Helper()
	receipt := s.place(t, p)
	if out := s.outcome(t, receipt.TaskID); out.State != orders.AwaitingPayment {
		t.Fatalf("%+v", out)
	}
}

func (s shop) pay(t *testing.T, id, reference string) {
	t.Helper()
	if _, _, err := s.Pay(t.Context(), id, orders.Payment{Reference: reference, AmountMinor: mugsTotal, Currency: "GBP"}); err != nil {
		t.Fatal(err)
	}
}

func (s shop) cancel(t *testing.T, id string) {
	t.Helper()
	if _, _, err := s.Cancel(t.Context(), id, "changed her mind"); err != nil {
		t.Fatal(err)
	}
}

// list lists all that a query matches, page by page, and calls between after each.
func (s shop) list(t *testing.T, q orders.Query, between func()) (ids []string) {
	t.Helper()
	for {
		page, next, err := s.List(t.Context(), q)
		if err != nil || len(page) > q.Limit {
			t.Fatalf("%d of %d: %v", len(page), q.Limit, err)
		}
		for _, o := range page {
			ids = append(ids, o.ID)
		}
		if next == "" {
			return ids
		}
		q.After = next
		between()
	}
}

// Whatever comes or happens while somebody reads page by page, each order that was
// there is seen once, in its place.
func TestListIsStable(t *testing.T) {
	s := openShop(t).reopen(orders.Config{ByHand: true})
	s.work(t)
	var want []string
	for i := range 130 {
		id := fmt.Sprint("o", i)
		s.open(t, mugs(id))
		want = append(want, id)
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 7, 60, 200} {
		n := 0
		got := s.list(t, orders.Query{Limit: limit}, func() {
			if n++; n > 20 {
				return
			}
			s.open(t, mugs(fmt.Sprintf("new-%d-%d", limit, n)))
			if order, _ := s.get(t, want[n]); order.State == orders.AwaitingPayment {
				s.pay(t, want[n], "p"+want[n])
				s.cancel(t, want[len(want)-1-n])
			}
		})
		got = slices.DeleteFunc(got, func(id string) bool { return strings.HasPrefix(id, "new") })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestListFilters(t *testing.T) {
	s := openShop(t).reopen(orders.Config{ByHand: true})
	if ids := s.list(t, orders.Query{Limit: 3}, func() {}); ids != nil {
		t.Errorf("there are none, but %v", ids)
	}
	s.cancel(t, s.place(t, mugs("undecided")).OrderID) // before a worker comes to it
	s.work(t)
	for _, id := range []string{"waits", "paid", "fulfilled", "cancelled", "late", "twice"} {
		p := mugs(id)
		if id == "paid" || id == "late" {
			p.CustomerID, p.Reference = "ann & co", `"7"`
		}
		s.open(t, p)
	}
	for _, id := range []string{"paid", "fulfilled", "twice"} {
		s.pay(t, id, id)
	}
	if _, _, err := s.Fulfil(t.Context(), "fulfilled"); err != nil {
		t.Fatal(err)
	}
	s.cancel(t, "cancelled")
	s.cancel(t, "late")
	s.pay(t, "late", "too-late")
	s.pay(t, "twice", "once-more")
	yes, no := true, false
	for _, c := range []struct {
		q    orders.Query
		want []string
	}{
		{orders.Query{}, []string{"twice", "late", "cancelled", "fulfilled", "paid", "waits", "undecided"}},
		{orders.Query{State: orders.AwaitingPayment}, []string{"waits"}},
		{orders.Query{State: orders.Paid}, []string{"twice", "paid"}},
		{orders.Query{State: orders.Fulfilled}, []string{"fulfilled"}},
		{orders.Query{State: orders.Cancelled}, []string{"late", "cancelled", "undecided"}},
		{orders.Query{State: orders.Expired}, nil},
		{orders.Query{CustomerID: "ann & co"}, []string{"late", "paid"}},
		{orders.Query{CustomerID: "ann"}, nil},
		{orders.Query{Reference: `"7"`, State: orders.Paid}, []string{"paid"}},
		{orders.Query{CustomerID: "17850", Reference: "536365", RefundDue: &yes}, []string{"twice"}},
		{orders.Query{RefundDue: &yes}, []string{"twice", "late"}},
		{orders.Query{RefundDue: &no, State: orders.Cancelled}, []string{"cancelled", "undecided"}},
	} {
		for _, c.q.Limit = range []int{1, 100} {
			if got := s.list(t, c.q, func() {}); !slices.Equal(got, c.want) {
				t.Errorf("%+v: %v, want %v", c.q, got, c.want)
			}
		}
	}
	page, next, err := s.List(t.Context(), orders.Query{Limit: 1, RefundDue: &yes})
	if err != nil || len(page) != 1 || page[0].TotalMinor != mugsTotal || !page[0].RefundDue || page[0].State != orders.Paid || !page[0].PlacedAt.Before(page[0].UpdatedAt) {
		t.Errorf("%+v, %v", page, err)
	}
	for _, q := range []orders.Query{
		{RefundDue: &yes, After: next[1:]},
		{RefundDue: &yes, After: "1" + next},
		{RefundDue: &yes, After: next + "0"},
		{RefundDue: &yes, After: "x"},
		{RefundDue: &yes, After: "0-0"},
		{RefundDue: &yes, After: "-"},
		{After: next},
		{RefundDue: &no, After: next},
		{RefundDue: &yes, State: orders.Paid, After: next},
	} {
		q.Limit = 1
		if page, _, err := s.List(t.Context(), q); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("%+v: %v, %v", q, page, err)
		}
	}
}
