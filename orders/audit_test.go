package orders_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/orders"
	"millrace/test/broker"
)

// audit hears of all that is ever written to the orders' stream, as the broker stores
// it, and replays it: after each batch the books have to balance. It knows nothing of
// the ledger's code.
type audit struct {
	js jetstream.JetStream

	mu   sync.Mutex
	log  []*nats.Msg
	last uint64 // the sequence up to which it has heard

	orders   map[string]orders.Order
	first    map[string]uint64           // by order: the batch that decided on it
	sold     map[string]map[string]int64 // by order: what it had when it was fulfilled
	stock    map[string]orders.Stock
	counted  map[string]int64   // by SKU: what there was at first, with all adjustments
	adjusted map[string]bool    // adjustments that were seen
	levels   map[string][]level // by SKU
	payments map[string]string
	feed     map[string][]orders.Notice
}

// level is how many of a SKU could be had from a sequence on.
type level struct {
	from      uint64
	available int64
}

// listen has to begin before anything is written.
func listen(t *testing.T, w broker.Way) *audit {
	t.Helper()
	a := &audit{
		js: broker.Inspect(t, w), orders: map[string]orders.Order{}, first: map[string]uint64{}, sold: map[string]map[string]int64{},
		stock: map[string]orders.Stock{}, counted: map[string]int64{}, adjusted: map[string]bool{}, levels: map[string][]level{},
		payments: map[string]string{}, feed: map[string][]orders.Notice{},
	}
	stream, err := a.js.Stream(t.Context(), "KV_orders")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.RePublish = &jetstream.RePublish{Source: ">", Destination: "audit.>"}
	if _, err := a.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	sub, err := a.js.Conn().Subscribe("audit.>", func(m *nats.Msg) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.log = append(a.log, m)
		a.last = sequence(m)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), a.js.Conn().Flush()); err != nil {
		t.Fatal(err)
	}
	return a
}

func sequence(m *nats.Msg) uint64 {
	seq, _ := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	return seq
}

// heard is the sequence up to which it has heard, so that all that is written from now
// on comes after it.
func (a *audit) heard() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// check replays what was written since the last time.
func (a *audit) check(t *testing.T) {
	t.Helper()
	stream, err := a.js.Stream(t.Context(), "KV_orders")
	if err != nil {
		t.Fatal(err)
	}
	for end := stream.CachedInfo().State.LastSeq; a.heard() < end; {
		if err := a.js.Conn().FlushTimeout(flushTime); err != nil {
			t.Fatal(err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.log) > 0 {
		n := 1
		if id := a.log[0].Header.Get("Nats-Batch-Id"); id != "" {
			for n < len(a.log) && a.log[n].Header.Get("Nats-Batch-Id") == id {
				n++
			}
		}
		a.replay(t, a.log[:n])
		if t.Failed() {
			for _, m := range a.log[:n] {
				t.Logf("%d %s %s", sequence(m), m.Subject, m.Data)
			}
			t.FailNow()
		}
		a.log = a.log[n:]
	}
}

func parse[T any](t *testing.T, m *nats.Msg) (v T) {
	t.Helper()
	if err := json.Unmarshal(m.Data, &v); err != nil {
		t.Errorf("%s: %v", m.Subject, err)
	}
	return v
}

func (a *audit) replay(t *testing.T, batch []*nats.Msg) {
	t.Helper()
	seen, written := map[string]bool{}, map[string]bool{}
	taken, begin, end := map[string]int64{}, sequence(batch[0]), sequence(batch[len(batch)-1])
	for _, m := range batch {
		if seen[m.Subject] {
			t.Errorf("%s is twice in a batch", m.Subject)
		}
		seen[m.Subject] = true
		switch subject := strings.TrimPrefix(m.Subject, "audit."); {
		case strings.HasPrefix(subject, "$KV.orders.order."):
			o := parse[orders.Order](t, m)
			a.replayOrder(t, o, begin, taken)
			written[o.ID] = true
		case strings.HasPrefix(subject, "$KV.orders.stock."):
			a.replayStock(parse[orders.Stock](t, m), taken)
		case strings.HasPrefix(subject, "$KV.orders.payment."):
			if a.payments[subject] != "" {
				t.Errorf("%s is written twice", subject)
			}
			a.payments[subject] = parse[string](t, m)
		case strings.HasPrefix(subject, "order-events."):
			n := parse[orders.Notice](t, m)
			written[n.OrderID] = true
			a.feed[n.OrderID] = append(a.feed[n.OrderID], n)
			if want := fmt.Sprintf("order-events.%s.%d", n.OrderID, len(a.feed[n.OrderID])); subject != want || n.Number != len(a.feed[n.OrderID]) {
				t.Errorf("%s is number %d, and %s was to come", subject, n.Number, want)
			}
		default:
			t.Errorf("what is %s?", subject)
		}
	}
	for sku, n := range taken {
		if all := a.levels[sku]; len(all) > 0 { // as low as it can have been within the batch
			a.levels[sku] = append(all, level{begin, all[len(all)-1].available - n})
		}
	}
	for sku, s := range a.stock {
		if all := a.levels[sku]; len(all) == 0 || all[len(all)-1].available != s.Available() {
			a.levels[sku] = append(all, level{end, s.Available()})
		}
	}
	for id := range written {
		a.compareFeed(t, id)
	}
	a.balance(t)
}

// compareFeed checks that the feed tells an order's history.
func (a *audit) compareFeed(t *testing.T, id string) {
	t.Helper()
	told, history := a.feed[id], a.orders[id].History
	if len(told) != len(history) {
		t.Errorf("the feed has %d events of %s, which has gone through %v", len(told), id, history)
		return
	}
	for i, c := range history {
		if told[i].Change != c {
			t.Errorf("event %d of %s is %+v, not %+v", i+1, id, told[i].Change, c)
		}
	}
}

func (a *audit) replayOrder(t *testing.T, o orders.Order, begin uint64, taken map[string]int64) {
	t.Helper()
	before, known := a.orders[o.ID]
	if !known {
		a.first[o.ID] = begin
		before = orders.Order{State: orders.Placed, History: o.History[:1]}
		if o.History[0].State != orders.Placed {
			t.Errorf("%s begins as %s", o.ID, o.History[0].State)
		}
	}
	if diff := cmp.Diff(before.History, o.History[:min(len(o.History), len(before.History))]); diff != "" || len(o.History) <= len(before.History) {
		t.Errorf("the history of %s: %s", o.ID, diff)
	}
	at := before
	for _, c := range o.History[len(before.History):] {
		next, possible := at, c.State == at.State && strings.Contains(c.Reason, "a refund is due")
		for _, action := range actions {
			if after, err := orders.Apply(at, orders.Event{Action: action}); err == nil && after.State == c.State {
				next, possible = after, true
			}
		}
		if !possible {
			t.Errorf("%s went from %s to %s", o.ID, at.State, c.State)
		}
		if next.State != at.State && next.State == orders.AwaitingPayment {
			for _, l := range o.Items {
				taken[l.SKU] += l.Quantity
			}
		}
		at = next
		at.State = c.State
	}
	// What it must hold is what its lines say of what is tracked.
	wants, holds := map[string]int64{}, map[string]int64{}
	if o.State == orders.AwaitingPayment || o.State == orders.Paid {
		for _, l := range o.Items {
			if _, tracked := a.counted[l.SKU]; tracked {
				wants[l.SKU] += l.Quantity
			}
		}
	}
	for _, h := range o.Holds {
		holds[h.SKU] += h.Quantity
	}
	if diff := cmp.Diff(wants, holds); diff != "" || at.State != o.State {
		t.Errorf("%s is %s, after %s: %s", o.ID, o.State, at.State, diff)
	}
	if o.State == orders.Fulfilled && before.State != orders.Fulfilled {
		a.sold[o.ID] = map[string]int64{}
		for _, h := range before.Holds {
			a.sold[o.ID][h.SKU] += h.Quantity
		}
	}
	for _, p := range o.Payments {
		if p.AmountMinor != o.TotalMinor || p.Currency != o.Currency {
			t.Errorf("%s costs %d, and was paid with %+v", o.ID, o.TotalMinor, p)
		}
	}
	a.orders[o.ID] = o
}

func (a *audit) replayStock(s orders.Stock, taken map[string]int64) {
	if _, known := a.counted[s.SKU]; !known {
		a.counted[s.SKU] = s.OnHand
	}
	for _, adj := range s.Adjustments {
		if id := s.SKU + " " + adj.ID; !a.adjusted[id] {
			a.adjusted[id] = true
			a.counted[s.SKU] += adj.Delta
			taken[s.SKU] += max(0, -adj.Delta)
		}
	}
	a.stock[s.SKU] = s
}

// balance checks what is true of all books at any time.
func (a *audit) balance(t *testing.T) {
	t.Helper()
	reserved, sold, paid := map[string]int64{}, map[string]int64{}, map[string]string{}
	for id, o := range a.orders {
		for _, h := range o.Holds {
			reserved[h.SKU] += h.Quantity
		}
		for sku, n := range a.sold[id] {
			sold[sku] += n
		}
		for _, p := range o.Payments {
			if paid[p.Reference] != "" {
				t.Errorf("the payment %s is of %s, and of %s", p.Reference, paid[p.Reference], id)
			}
			paid[p.Reference] = id
		}
	}
	if len(paid) != len(a.payments) || len(a.feed) != len(a.orders) {
		t.Errorf("%d orders with %d payments; %d feeds, and payments %v", len(a.orders), len(paid), len(a.feed), a.payments)
	}
	for sku, s := range a.stock {
		if s.Reserved != reserved[sku] || s.Sold != sold[sku] || s.OnHand != a.counted[sku]-sold[sku] || s.Reserved < 0 || s.Reserved > s.OnHand {
			t.Errorf("stock %+v: %d are held, %d sold, and %d were counted", s, reserved[sku], sold[sku], a.counted[sku])
		}
	}
}

// rejectedRightly checks that an order was impossible when it was decided on: at some
// time after that sequence, and before its rejection was written.
func (a *audit) rejectedRightly(t *testing.T, id string, after uint64) {
	t.Helper()
	o, until := a.orders[id], a.first[id]
	wants := map[string]int64{}
	for _, l := range o.Items {
		wants[l.SKU] += l.Quantity
	}
	for sku, n := range wants {
		all := a.levels[sku]
		for i, l := range all {
			if l.from <= until && (i+1 == len(all) || all[i+1].from > after) && n > l.available {
				return
			}
		}
	}
	t.Errorf("%s was rejected between %d and %d, and it was possible: %+v", id, after, until, o.History)
}
