package streams_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"millrace/streams"
)

// place writes an order with two events, as one that was placed and accepted.
func place(t *testing.T, l streams.Ledger, id string) {
	t.Helper()
	_, err := l.Commit(t.Context(), []streams.Write{{Key: "order." + id, Value: []byte(id)}},
		[]streams.Event{{OrderID: id, Number: 1, Data: []byte(id)}, {OrderID: id, Number: 2, Data: []byte(id)}})
	if err != nil {
		t.Fatal(err)
	}
}

// walk reads the index page by page, and calls between after each.
func walk(t *testing.T, l streams.Ledger, limit int, accept func(streams.First) bool, between func()) (ids []string) {
	t.Helper()
	for before := uint64(0); ; between() {
		events, next, err := l.FirstEvents(t.Context(), before, limit, accept)
		if err != nil || len(events) > limit {
			t.Fatalf("%d of %d events: %v", len(events), limit, err)
		}
		for _, e := range events {
			if string(e.Data) != e.OrderID || e.At.IsZero() || before > 0 && e.Sequence >= before {
				t.Errorf("%+v, before %d", e, before)
			}
			ids = append(ids, e.OrderID)
		}
		if next == 0 {
			return ids
		}
		before = next
	}
}

func all(streams.First) bool { return true }

func TestFirstEvents(t *testing.T) {
	ledger := open(t, newBroker(t), streams.Config{}).Ledger()
	if ids := walk(t, ledger, 10, all, func() {}); ids != nil {
		t.Errorf("there are no orders, but %v", ids)
	}
	var want []string
	for i := range 300 {
		place(t, ledger, fmt.Sprint("o", i))
		want = append(want, fmt.Sprint("o", i))
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 7, 100, 500} {
		// Orders that come and change meanwhile are not seen, and move none.
		n := 0
		got := walk(t, ledger, limit, all, func() {
			n++
			if n > 5 {
				return
			}
			found, err := ledger.Read(t.Context(), []string{"order.o3"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = ledger.Commit(t.Context(), []streams.Write{{Key: "order.o3", Value: []byte("changed"), Revision: found["order.o3"].Revision}},
				[]streams.Event{{OrderID: "o3", Number: 2 + n, Data: []byte("changed")}})
			if err != nil {
				t.Fatal(err)
			}
			place(t, ledger, fmt.Sprintf("new%d-%d", limit, n))
		})
		got = slices.DeleteFunc(got, func(id string) bool { return strings.HasPrefix(id, "new") })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
	some := walk(t, ledger, 3, func(f streams.First) bool { return f.OrderID == "o0" || f.OrderID == "o299" }, func() {})
	if !slices.Equal(some, []string{"o299", "o0"}) {
		t.Errorf("only those that are accepted: %v", some)
	}
}

// An order that was placed anew under an id of before stays in the index.
func TestRemoveFirst(t *testing.T) {
	ledger := open(t, newBroker(t), streams.Config{}).Ledger()
	for _, id := range []string{"gone", "anew", "other"} {
		place(t, ledger, id)
	}
	events, _, err := ledger.FirstEvents(t.Context(), 0, 3, all)
	if err != nil || len(events) != 3 {
		t.Fatal(events, err)
	}
	for _, e := range events[1:] { // gone and anew
		if e.OrderID == "anew" {
			_, err := ledger.Commit(t.Context(), []streams.Write{{Key: "stock.A", Value: []byte("1")}}, []streams.Event{{OrderID: "anew", Number: 1, Data: []byte("anew")}})
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := ledger.RemoveFirst(t.Context(), e); err != nil {
				t.Error(err)
			}
		}
	}
	if ids := walk(t, ledger, 10, all, func() {}); !slices.Equal(ids, []string{"anew", "other"}) {
		t.Errorf("left are %v", ids)
	}
}
