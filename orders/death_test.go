package orders_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/orders"
	"millrace/streams"
	"millrace/test/broker"
)

// A process that decides on orders of the same goods, and has one paid, one cancelled,
// one expired and one fulfilled, dies before any of its writes, and another one goes on:
// it all comes to the same end, and what follows from each order is there once.
func TestDeathAtAnyWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		connect(t, b)
		a := listen(t, b)
		for n := 0; ; n += broker.Step() {
			way := &broker.Mortal{Broker: b, Left: n}
			l := &life{t: t, way: way, prefix: fmt.Sprintf("l%d-", n)}
			l.live()
			a.check(t)
			l.compare(a)
			if t.Failed() {
				t.Fatalf("so it went when the process died before write %d", n)
			}
			if !way.Died() {
				if t.Logf("it died before each of %d writes", n); n < 40 {
					t.Error("there must be more")
				}
				break
			}
		}
	})
}

// life is what one process and its successor go through.
type life struct {
	t      *testing.T
	way    *broker.Mortal
	prefix string
	store  *streams.Store
	*orders.Orders
	sent int  // how often the goods of an order were sent
	died bool // the first of the two
}

func (l *life) start() {
	store, err := streams.Open(l.t.Context(), streams.Config{InProcess: l.way})
	if err != nil {
		l.t.Fatal(err)
	}
	l.store = store
	l.Orders = orders.New(store, orders.Config{PaymentTime: time.Minute, Fulfil: func(context.Context, orders.Order) error {
		l.sent++
		return nil
	}})
}

// insist does something until it is done, as a queue or a client does.
func (l *life) insist(do func(ctx context.Context) error) {
	l.t.Helper()
	for range 5 {
		err := do(l.t.Context())
		if err == nil {
			return
		}
		if !l.way.Died() {
			l.t.Fatal(err)
		}
		l.store.Close()
		l.died = true
		l.way = &broker.Mortal{Broker: l.way.Broker, Left: math.MaxInt}
		l.start()
	}
	l.t.Fatal("again and again it failed")
}

func (l *life) id(name string) string { return l.prefix + name }

func (l *life) live() {
	l.start()
	defer func() { l.store.Close() }()
	l.insist(func(ctx context.Context) error {
		return errors.Join(l.SetStocks(ctx, []orders.Count{{l.id("A"), 10}, {l.id("B"), 6}})...)
	})
	var all []orders.Placement
	for i, name := range []string{"waits", "paid", "cancelled", "expired", "fulfilled", "short"} {
		p := mugs(l.id(name))
		p.Items = []orders.Line{{SKU: l.id("A"), Quantity: 1, UnitPriceMinor: 1}, {SKU: l.id("B"), Quantity: int64(1 + i/5), UnitPriceMinor: 1}, {SKU: l.id("A"), Quantity: 1, UnitPriceMinor: 1}}
		all = append(all, p)
	}
	for _, p := range all {
		l.insist(func(ctx context.Context) error { _, err := l.Place(ctx, p); return err })
	}
	l.insist(func(ctx context.Context) error {
		results, err := l.Decide(ctx, placing(all...)...)
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		return err
	})
	pay := func(name string) {
		l.insist(func(ctx context.Context) error {
			_, _, err := l.Pay(ctx, l.id(name), orders.Payment{Reference: l.id(name), AmountMinor: 3, Currency: "GBP"})
			return err
		})
	}
	pay("paid")
	pay("fulfilled")
	l.insist(func(ctx context.Context) error { _, _, err := l.Cancel(ctx, l.id("cancelled"), ""); return err })
	reminder := func(name string) millrace.Task[orders.Reminder] {
		return millrace.Task[orders.Reminder]{ID: l.id(name) + "-x", Args: orders.Reminder{OrderID: l.id(name)}}
	}
	l.insist(func(ctx context.Context) error { _, err := l.Send(ctx, reminder("fulfilled")); return err })
	time.Sleep(time.Minute)
	l.insist(func(ctx context.Context) error {
		results, err := l.End(ctx, reminder("expired"), reminder("fulfilled"))
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		return err
	})
}

// compare checks what it has come to.
func (l *life) compare(a *audit) {
	t := l.t
	for name, want := range map[string][]orders.State{
		"waits": {orders.AwaitingPayment}, "paid": {orders.AwaitingPayment, orders.Paid}, "cancelled": {orders.AwaitingPayment, orders.Cancelled},
		"expired": {orders.AwaitingPayment, orders.Expired}, "fulfilled": {orders.AwaitingPayment, orders.Paid, orders.Fulfilled}, "short": {orders.Rejected},
	} {
		got := []orders.State{}
		for _, c := range a.orders[l.id(name)].History[1:] {
			got = append(got, c.State)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// Four are held by the two that are open, two are sold, and the others are back.
	for sku, want := range map[string]orders.Stock{"A": {OnHand: 8, Reserved: 4, Sold: 2}, "B": {OnHand: 5, Reserved: 2, Sold: 1}} {
		s := a.stock[l.id(sku)]
		if s.OnHand != want.OnHand || s.Reserved != want.Reserved || s.Sold != want.Sold {
			t.Errorf("%+v", s)
		}
	}
	if l.sent < 1 || l.sent > 2 {
		t.Errorf("the goods were sent %d times", l.sent)
	}
	var want []string
	for _, id := range []string{"cancelled-placed", "expired-expire", "expired-placed", "fulfilled-fulfil", "fulfilled-placed", "paid-fulfil", "paid-placed", "short-placed", "waits-expire", "waits-placed"} {
		want = append(want, l.id(id))
	}
	got := slices.DeleteFunc(tasks(t, a.js, l.prefix), func(id string) bool {
		// What was to be called off may have been left lying by the one who died.
		name, reminder := strings.CutSuffix(strings.TrimPrefix(id, l.prefix), "-expire")
		return l.died && reminder && name != "waits" && name != "expired"
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tasks that are there (-want +got): %s", diff)
	}
}

// tasks are the ids of the tasks that are in the log or wait, in alphabetical order.
func tasks(t *testing.T, js jetstream.JetStream, prefix string) (ids []string) {
	t.Helper()
	for _, name := range []string{"TASKS_default", "SCHEDULES_0", "SCHEDULES_1", "SCHEDULES_2", "SCHEDULES_3"} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		for subject, n := range info.State.Subjects {
			words := strings.Split(subject, ".")
			if id := words[len(words)-1]; strings.HasPrefix(id, prefix) {
				for range n {
					ids = append(ids, id)
				}
			}
		}
	}
	slices.Sort(ids)
	return ids
}
