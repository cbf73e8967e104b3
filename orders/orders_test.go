package orders_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/orders"
	"millrace/test/broker"
)

func TestOrderIsPlacedPricedAndShown(t *testing.T) {
	s := openShop(t)
	p := mugs("mugs-1")
	before := time.Now().UTC()
	receipt := s.place(t, p)
	if want := (orders.Receipt{OrderID: "mugs-1", TaskID: "mugs-1-placed", Status: orders.Placed}); receipt != want {
		t.Fatalf("%+v", receipt)
	}
	want := orders.Order{
		ID: "mugs-1", Reference: p.Reference, CustomerID: p.CustomerID, Country: p.Country, Currency: "GBP", Date: p.Date,
		Items: p.Items, State: orders.Placed, TotalMinor: mugsTotal,
		History: []orders.Change{{State: orders.Placed, TaskID: "mugs-1-placed"}},
	}
	pending, pendingVersion := s.get(t, "mugs-1")
	at := pending.History[0].At
	want.History[0].At = at
	if diff := cmp.Diff(want, pending); diff != "" || at.Before(before) || at.After(time.Now()) {
		t.Fatalf("at %v: %s", at, diff)
	}
	if _, again := s.get(t, "mugs-1"); again != pendingVersion {
		t.Errorf("the version went from %s to %s", pendingVersion, again)
	}

	s.work(t)
	if out := s.outcome(t, receipt.TaskID); out != (orders.Outcome{OrderID: "mugs-1", State: orders.AwaitingPayment, TotalMinor: mugsTotal}) {
		t.Errorf("%+v", out)
	}
	order, version := s.get(t, "mugs-1")
	want.State = orders.AwaitingPayment
	want.PayBy = order.PayBy
	accepted := order.History[len(order.History)-1].At
	want.History = append(want.History, orders.Change{State: orders.AwaitingPayment, At: accepted, TaskID: "mugs-1-placed"})
	if diff := cmp.Diff(want, order); diff != "" || accepted.Before(at) || order.PayBy.Sub(accepted) != 30*time.Minute || version == pendingVersion {
		t.Errorf("at %v, version %s: %s", accepted, version, diff)
	}
}

func TestOrderWithoutAnIDGetsOne(t *testing.T) {
	s := openShop(t)
	s.work(t)
	first, second := s.place(t, mugs("")), s.place(t, mugs(""))
	if first.OrderID == second.OrderID || millrace.ValidateID(first.TaskID) != nil {
		t.Fatalf("%+v, %+v", first, second)
	}
	for _, r := range []orders.Receipt{first, second} {
		if out := s.outcome(t, r.TaskID); out.OrderID != r.OrderID || out.State != orders.AwaitingPayment {
			t.Errorf("%+v", out)
		}
	}
}

func TestPlacingAgainIsPlacingOnce(t *testing.T) {
	s := openShop(t)
	id := strings.Repeat("x", orders.MaxOrderIDLen)
	p := mugs(id)
	var others []orders.Placement
	for _, change := range []func(*orders.Placement){
		func(p *orders.Placement) { p.Reference = "536366" },
		func(p *orders.Placement) { p.CustomerID = "" },
		func(p *orders.Placement) { p.Country = "France" },
		func(p *orders.Placement) { p.Currency = "EUR" },
		func(p *orders.Placement) { p.Date = "2/12/2010" },
		func(p *orders.Placement) { p.Items = p.Items[:1] },
		func(p *orders.Placement) { p.Items[0], p.Items[1] = p.Items[1], p.Items[0] },
		func(p *orders.Placement) { p.Items[0].SKU = "22633" },
		func(p *orders.Placement) { p.Items[0].Description = "" },
		func(p *orders.Placement) { p.Items[0].Quantity++ },
		func(p *orders.Placement) { p.Items[0].UnitPriceMinor++ },
	} {
		other := mugs(id)
		change(&other)
		others = append(others, other)
	}
	refuseOthers := func() {
		t.Helper()
		for _, other := range others {
			if _, err := s.Place(t.Context(), other); !errors.Is(err, millrace.ErrConflict) || !strings.Contains(err.Error(), "not the same") {
				t.Errorf("another order of that id: %v", err)
			}
		}
	}

	// Before a worker comes to it, as after a client lost the answer.
	first := s.place(t, p)
	if again := s.place(t, p); again != first {
		t.Errorf("%+v, then %+v", first, again)
	}
	refuseOthers()

	stop := s.work(t)
	s.outcome(t, first.TaskID)
	stop()
	_, version := s.get(t, id)
	want := orders.Receipt{OrderID: id, TaskID: first.TaskID, Status: orders.AwaitingPayment}
	if again := s.place(t, p); again != want {
		t.Errorf("%+v", again)
	}
	refuseOthers()
	if _, now := s.get(t, id); now != version {
		t.Errorf("the order was written again: %s, then %s", version, now)
	}
}

// The log forgets a task, and its record expires, long before the order goes.
func TestPlacingAgainWhenTheTaskIsForgotten(t *testing.T) {
	s := openShop(t)
	stop := s.work(t)
	first := s.place(t, mugs("old"))
	s.outcome(t, first.TaskID)
	stop()
	js := broker.Inspect(t, s.server)
	for _, name := range []string{"TASKS_default", "KV_results"} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := orders.Receipt{OrderID: "old", TaskID: first.TaskID, Status: orders.AwaitingPayment}
	if again := s.place(t, mugs("old")); again != want {
		t.Errorf("%+v", again)
	}
	other := mugs("old")
	other.Currency = "EUR"
	if _, err := s.Place(t.Context(), other); !errors.Is(err, millrace.ErrConflict) {
		t.Errorf("another order of that id: %v", err)
	}
	if last, err := s.store.LastSequence(t.Context(), millrace.DefaultQueue); err != nil || last != 1 {
		t.Errorf("%d tasks were submitted: %v", last, err)
	}
	if order, _ := s.get(t, "old"); order.State != orders.AwaitingPayment {
		t.Errorf("%+v", order)
	}
}

func TestManyPlaceTheSameOrder(t *testing.T) {
	s := openShop(t)
	s.work(t)
	const clients = 32
	var placing sync.WaitGroup
	for range clients {
		placing.Go(func() {
			r, err := s.Place(t.Context(), mugs("rush"))
			if err != nil || r.OrderID != "rush" || r.Status != orders.Placed && r.Status != orders.AwaitingPayment {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	placing.Wait()
	s.outcome(t, "rush-placed")
	if last, err := s.store.LastSequence(t.Context(), millrace.DefaultQueue); err != nil || last != 1 {
		t.Errorf("%d tasks were submitted: %v", last, err)
	}
}

// Two orders race for an id: one has it, and the other hears of it.
func TestTwoOrdersOfOneID(t *testing.T) {
	s := openShop(t)
	var placing sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		p := mugs("one")
		p.Items[0].Quantity = int64(i + 1)
		placing.Go(func() { _, errs[i] = s.Place(t.Context(), p) })
	}
	placing.Wait()
	order, _ := s.get(t, "one")
	for i, err := range errs {
		if mine := order.Items[0].Quantity == int64(i+1); mine != (err == nil) || !mine && !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("order %d has it: %v; %v", i, mine, err)
		}
	}
}

func TestInvalidPlacementsStoreNothing(t *testing.T) {
	s := openShop(t)
	invalid := mugs("invalid")
	invalid.Items[0].Quantity = -1
	large := mugs("large")
	large.Items = make([]orders.Line, orders.MaxLines)
	for i := range large.Items {
		// JSON spells each of these in six bytes.
		large.Items[i] = orders.Line{SKU: "A", Description: strings.Repeat("&", orders.MaxTextLen), Quantity: 1, UnitPriceMinor: 1}
	}
	for location, p := range map[string]orders.Placement{"body.items[0].quantity": invalid, "body": large} {
		_, err := s.Place(t.Context(), p)
		if v, typed := errors.AsType[orders.Violations](err); !typed || len(v) != 1 || v[0].Location != location {
			t.Errorf("%s: %v", location, err)
		}
		if _, _, err := s.Get(t.Context(), p.OrderID); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("%s is there: %v", p.OrderID, err)
		}
	}
}

// What Place accepts, the broker must take as a task and again as an order.
func TestLargestOrder(t *testing.T) {
	s := openShop(t)
	s.work(t)
	p := mugs("large")
	p.Items = make([]orders.Line, orders.MaxLines)
	for i := range p.Items {
		p.Items[i] = orders.Line{SKU: "A", Quantity: orders.MaxQuantity, UnitPriceMinor: 9007}
	}
	for i := 0; size(t, p) < orders.MaxSize; i++ {
		room := (orders.MaxSize - size(t, p) - len(`"description":"",`)) / 6
		p.Items[i].Description = strings.Repeat("<", max(0, min(room, orders.MaxTextLen)))
		if room <= 0 {
			break
		}
	}
	receipt := s.place(t, p)
	if out := s.outcome(t, receipt.TaskID); out.State != orders.AwaitingPayment || out.TotalMinor != 9007*orders.MaxLines*orders.MaxQuantity {
		t.Errorf("%+v", out)
	}
}

func size(t *testing.T, p orders.Placement) int {
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return len(data)
}

func TestGetKnowsWhatWasNeverPlaced(t *testing.T) {
	s := openShop(t)
	for id, want := range map[string]error{
		"nobody": millrace.ErrNotFound, "": millrace.ErrInvalid, "a.b": millrace.ErrInvalid, "*": millrace.ErrInvalid, ">": millrace.ErrInvalid,
		strings.Repeat("x", orders.MaxOrderIDLen+1): millrace.ErrInvalid,
	} {
		if o, _, err := s.Get(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v", id, o, err)
		}
	}
}

// A hand-made task that has an order's task id, but is about another order or
// none, is not that order.
func TestTaskOfAnotherOrder(t *testing.T) {
	s := openShop(t)
	s.submit(t, "", "a-placed", mugs("elsewhere"))
	s.submit(t, "", "b-placed", "no placement")
	for _, id := range []string{"a", "b"} {
		if o, _, err := s.Get(t.Context(), id); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("%+v, %v", o, err)
		}
		if r, err := s.Place(t.Context(), mugs(id)); err == nil {
			t.Errorf("%+v", r)
		}
	}
}

func TestBrokerGone(t *testing.T) {
	s := openShop(t)
	s.store.Close()
	if _, err := s.Place(t.Context(), mugs("a")); !errors.Is(err, millrace.ErrUnavailable) {
		t.Errorf("place: %v", err)
	}
	if _, err := s.Place(t.Context(), mugs("")); !errors.Is(err, millrace.ErrUnavailable) {
		t.Errorf("place: %v", err)
	}
	if _, _, err := s.Get(t.Context(), "a"); !errors.Is(err, millrace.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
}

func ExampleApply() {
	order := orders.Order{ID: "536365", State: orders.AwaitingPayment}
	order, err := orders.Apply(order, orders.Event{Action: orders.Cancel, Reason: "changed her mind"})
	fmt.Println(order.State, err)
	order, err = orders.Apply(order, orders.Event{Action: orders.Pay})
	fmt.Println(order.State, err)
	// Output:
	// cancelled <nil>
	// cancelled "pay" is not possible for an order that is "cancelled"
}
