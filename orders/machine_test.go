package orders_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"millrace"
	"millrace/orders"
)

var (
	states = []orders.State{
		orders.Placed, orders.AwaitingPayment, orders.Paid, orders.Fulfilled, orders.Rejected, orders.Cancelled, orders.Expired,
	}
	actions = []orders.Action{orders.Accept, orders.Reject, orders.Pay, orders.Fulfil, orders.Cancel, orders.Expire}
)

func TestTransitions(t *testing.T) {
	type step struct {
		from   orders.State
		action orders.Action
	}
	want := map[step]orders.State{
		{orders.Placed, orders.Accept}:          orders.AwaitingPayment,
		{orders.Placed, orders.Reject}:          orders.Rejected,
		{orders.Placed, orders.Cancel}:          orders.Cancelled,
		{orders.AwaitingPayment, orders.Pay}:    orders.Paid,
		{orders.AwaitingPayment, orders.Cancel}: orders.Cancelled,
		{orders.AwaitingPayment, orders.Expire}: orders.Expired,
		{orders.Paid, orders.Fulfil}:            orders.Fulfilled,
	}
	at := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	for _, from := range append(states, "", "no such state") {
		for _, action := range append(actions, "", "no such action") {
			before := orders.Order{ID: "1", State: from, TotalMinor: 5, History: []orders.Change{{State: from}}}
			after, err := orders.Apply(before, orders.Event{Action: action, At: at, Reason: "why", TaskID: "t"})
			next, fits := want[step{from, action}]
			expected := before
			if fits {
				expected.State = next
				expected.History = []orders.Change{{State: from}, {State: next, At: at, Reason: "why", TaskID: "t"}}
			}
			if diff := cmp.Diff(expected, after); diff != "" || fits != (err == nil) {
				t.Errorf("%s %s: %v\n%s", from, action, err, diff)
			}
			refused, typed := errors.AsType[*orders.TransitionError](err)
			if !fits && (!typed || refused.State != from || refused.Action != action || !errors.Is(err, millrace.ErrConflict)) {
				t.Errorf("%s %s: the error is %v", from, action, err)
			}
		}
	}
}

func TestFinalStates(t *testing.T) {
	final := []orders.State{orders.Fulfilled, orders.Rejected, orders.Cancelled, orders.Expired}
	for _, s := range states {
		if s.Final() != slices.Contains(final, s) {
			t.Errorf("%s: final is %v", s, s.Final())
		}
	}
}

// Whatever happens to an order: what was ordered and its total stay, each event
// that fits adds one entry to its history and takes none away, one that does not
// fit changes nothing, and an order in a final state stays in it.
func TestOrdersKeepTheirWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
		order := orders.Order{
			ID: "1", Currency: "GBP", Items: []orders.Line{{SKU: "A", Quantity: 1, UnitPriceMinor: 7}},
			TotalMinor: rapid.Int64Min(1).Draw(t, "total"), State: orders.Placed, History: []orders.Change{{State: orders.Placed, At: start}},
		}
		for i, action := range rapid.SliceOfN(rapid.SampledFrom(actions), 0, 20).Draw(t, "actions") {
			before := order
			event := orders.Event{Action: action, At: start.Add(time.Duration(i) * time.Second), Reason: string(action), TaskID: "t"}
			after, err := orders.Apply(before, event)
			// Again, so that a shared history would be written over.
			if _, err := orders.Apply(before, orders.Event{Action: action, Reason: "again"}); (err != nil) != (before.State == after.State) {
				t.Fatalf("%s on %s leads to %s: %v", action, before.State, after.State, err)
			}
			expected := before
			if err == nil {
				expected.State = after.State
				expected.History = append(slices.Clone(before.History), orders.Change{State: after.State, At: event.At, Reason: event.Reason, TaskID: "t"})
			}
			if diff := cmp.Diff(expected, after); diff != "" {
				t.Fatalf("%s on %s: %v\n%s", action, before.State, err, diff)
			}
			if before.State.Final() && err == nil {
				t.Fatalf("%s changed an order that was %s", action, before.State)
			}
			order = after
		}
		if last := order.History[len(order.History)-1]; last.State != order.State {
			t.Fatalf("the order is %s, its history ends with %s", order.State, last.State)
		}
	})
}
