package orders_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/orders"
	"millrace/streams"
	"millrace/test/broker"
)

// counter is a shop on virtual time, with ten of each of its goods.
type counter struct {
	*orders.Orders
	t     *testing.T
	store *streams.Store
	js    jetstream.JetStream
	stop  func() // of the worker
}

func openCounter(t *testing.T, cfg orders.Config) *counter {
	b := newBroker(t)
	store := connect(t, b)
	c := &counter{Orders: orders.New(store, cfg), t: t, store: store, js: broker.Inspect(t, b)}
	c.stop = run(t, c.Orders, store)
	if err := errors.Join(c.SetStocks(t.Context(), []orders.Count{{"22632", 10}, {"BANK CHARGES", 10}})...); err != nil {
		t.Fatal(err)
	}
	return c
}

// order places an order of 2 of the one and 1 of the other, and waits until it is
// decided on.
func (c *counter) order(id string) orders.Order {
	c.t.Helper()
	if _, err := c.Place(c.t.Context(), mugs(id)); err != nil {
		c.t.Fatal(err)
	}
	for range 100 {
		if o := c.get(id); o.State != orders.Placed {
			return o
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatalf("%s is not decided on", id)
	return orders.Order{}
}

func (c *counter) get(id string) orders.Order {
	c.t.Helper()
	o, _, err := c.Get(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

func (c *counter) pay(id string) {
	c.t.Helper()
	if _, _, err := c.Pay(c.t.Context(), id, orders.Payment{Reference: id, AmountMinor: mugsTotal, Currency: "GBP"}); err != nil {
		c.t.Fatal(err)
	}
}

// want checks the stock of mugs.
func (c *counter) want(onHand, reserved int64) {
	c.t.Helper()
	s, _, err := c.Stock(c.t.Context(), "22632")
	if err != nil || s.OnHand != onHand || s.Reserved != reserved {
		c.t.Errorf("%+v instead of %d and %d, %v", s, onHand, reserved, err)
	}
}

// waiting are the tasks that wait or lie in the log, which nobody trims here.
func (c *counter) waiting() []string {
	return slices.DeleteFunc(tasks(c.t, c.js, ""), func(id string) bool { return !strings.HasSuffix(id, "-expire") })
}

// reconciled checks what the sweep finds.
func (c *counter) reconciled(want orders.Reconciled) {
	c.t.Helper()
	if got, err := c.Reconcile(c.t.Context()); err != nil || got != want {
		c.t.Errorf("the sweep found %+v instead of %+v, %v", got, want, err)
	}
}

// An order that is not paid for 30 minutes expires, and its stock returns. One that is
// paid, or called off, is left alone, and nothing reminds of it.
func TestExpiry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := openCounter(t, orders.Config{})
		for _, id := range []string{"unpaid", "paid", "late", "off"} {
			if o := c.order(id); o.State != orders.AwaitingPayment || o.PayBy.Sub(o.History[1].At) != 30*time.Minute {
				t.Errorf("%+v", o)
			}
		}
		c.want(10, 8)
		if diff := cmp.Diff([]string{"late-expire", "off-expire", "paid-expire", "unpaid-expire"}, c.waiting()); diff != "" {
			t.Error(diff)
		}
		c.pay("paid")
		if o, _, err := c.Cancel(t.Context(), "off", "changed her mind"); err != nil || o.State != orders.Cancelled {
			t.Errorf("%+v, %v", o, err)
		}
		if diff := cmp.Diff([]string{"late-expire", "unpaid-expire"}, c.waiting()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Second)
		c.want(8, 4) // the paid one is fulfilled, and the cancelled one's stock is back
		time.Sleep(30*time.Minute - 10*time.Second)
		c.reconciled(orders.Reconciled{Looked: 4})
		if o := c.get("unpaid"); o.State != orders.AwaitingPayment {
			t.Errorf("too early: %+v", o)
		}
		c.pay("late")
		time.Sleep(13 * time.Second)
		o := c.get("unpaid")
		last := o.History[len(o.History)-1]
		if o.State != orders.Expired || last.At.Before(o.PayBy) || last.At.After(o.PayBy.Add(3*time.Second)) || last.TaskID != "unpaid-expire" || len(o.Holds) > 0 {
			t.Errorf("%+v", o)
		}
		c.want(6, 0)
		for _, id := range []string{"paid", "late"} {
			if o := c.get(id); o.State != orders.Fulfilled {
				t.Errorf("%+v", o)
			}
		}
		// What is paid now has to be paid back.
		c.pay("unpaid")
		if o := c.get("unpaid"); o.State != orders.Expired || !o.RefundDue() {
			t.Errorf("%+v", o)
		}
		time.Sleep(5 * time.Minute)
		c.reconciled(orders.Reconciled{Looked: 4})
		c.want(6, 0)
		if n := c.Repaired(); n != 0 {
			t.Errorf("%d orders were left behind", n)
		}
	})
}

// Who dies between an order and what follows from it leaves an order behind that
// nothing reminds of. The sweep finds and repairs it, once.
func TestReconcile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := openCounter(t, orders.Config{})
		c.order("forgotten")
		c.order("early")
		for shard := range 4 {
			stream, err := c.js.Stream(t.Context(), fmt.Sprintf("SCHEDULES_%d", shard))
			if err == nil {
				err = stream.Purge(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		paid := c.order("paid")
		c.loseFulfilment(paid)
		c.reconciled(orders.Reconciled{Looked: 3}) // it may still be under way
		time.Sleep(5 * time.Minute)
		c.reconciled(orders.Reconciled{Looked: 3, Unfulfilled: 1})
		time.Sleep(time.Second)
		if o := c.get("paid"); o.State != orders.Fulfilled {
			t.Errorf("%+v", o)
		}
		c.reconciled(orders.Reconciled{Looked: 3})
		c.pay("early")
		time.Sleep(30 * time.Minute)
		if o := c.get("forgotten"); o.State != orders.AwaitingPayment {
			t.Errorf("somebody has reminded of it: %+v", o)
		}
		c.want(6, 2)
		c.reconciled(orders.Reconciled{Looked: 3, Expired: 1})
		if o := c.get("forgotten"); o.State != orders.Expired {
			t.Errorf("%+v", o)
		}
		c.want(6, 0)
		c.reconciled(orders.Reconciled{Looked: 3})
		if n := c.Repaired(); n != 2 {
			t.Errorf("%d orders were repaired", n)
		}
	})
}

// What is only late, since no worker runs, was not left behind.
func TestReconcileAfterAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := openCounter(t, orders.Config{})
		c.order("waits")
		c.stop()
		time.Sleep(time.Hour)
		c.reconciled(orders.Reconciled{Looked: 1})
		run(t, c.Orders, c.store)
		time.Sleep(10 * time.Second)
		if o := c.get("waits"); o.State != orders.Expired {
			t.Errorf("%+v", o)
		}
		c.want(10, 0)
	})
}

// loseFulfilment lets an order be paid by a process that dies before what follows.
func (c *counter) loseFulfilment(o orders.Order) {
	c.t.Helper()
	byHand := orders.New(c.store, orders.Config{ByHand: true})
	if _, _, err := byHand.Pay(c.t.Context(), o.ID, orders.Payment{Reference: o.ID, AmountMinor: o.TotalMinor, Currency: o.Currency}); err != nil {
		c.t.Fatal(err)
	}
}

// A worker whose clock is slow is reminded of an order early: it waits until it is time.
func TestRemindedTooEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := openCounter(t, orders.Config{})
		o := c.order("early")
		time.Sleep(time.Until(o.PayBy.Add(-2 * time.Second)))
		task := millrace.Task[orders.Reminder]{ID: "early-expire", Args: orders.Reminder{OrderID: "early"}}
		results, err := c.End(t.Context(), task)
		if err != nil {
			t.Fatal(err)
		}
		wait, snoozed := errors.AsType[*millrace.SnoozeError](results[0].Err)
		if o := c.get("early"); !snoozed || o.State != orders.AwaitingPayment || wait.Delay <= time.Second || wait.Delay > 2*time.Second {
			t.Fatalf("%+v, and it sleeps %v", o, wait)
		}
		time.Sleep(wait.Delay)
		if results, err := c.End(t.Context(), task); err != nil || results[0].Err != nil || results[0].Value.State != orders.Expired {
			t.Errorf("%+v, %v", results, err)
		}
	})
}

// leaving is the context of somebody who goes away while it is done.
type leaving struct {
	context.Context
	asked atomic.Int32
}

func (l *leaving) Done() <-chan struct{} {
	gone := make(chan struct{})
	close(gone)
	return gone
}

func (l *leaving) Err() error {
	if l.asked.Add(1) == 1 {
		return nil
	}
	return context.Canceled
}

// Who pays and does not wait for the answer has the order fulfilled all the same.
func TestFollowsThoughTheCallerHasLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := openCounter(t, orders.Config{})
		c.order("paid")
		_, _, err := c.Pay(&leaving{Context: t.Context()}, "paid", orders.Payment{Reference: "r", AmountMinor: mugsTotal, Currency: "GBP"})
		time.Sleep(time.Second)
		if o := c.get("paid"); o.State != orders.Fulfilled || len(c.waiting()) > 0 {
			t.Errorf("%+v, %v; what waits is %v", o, err, c.waiting())
		}
		c.reconciled(orders.Reconciled{Looked: 1})
	})
}
