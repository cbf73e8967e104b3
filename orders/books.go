package orders

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace"
	"millrace/streams"
)

// books are the orders and the stock that some commands are about, as they were
// read, with what the commands have done to them since. A command that is refused
// has done nothing.
type books struct {
	cfg      Config
	now      time.Time
	orders   map[string]*leaf[Order]  // by id
	stock    map[string]*leaf[Stock]  // by SKU
	payments map[string]*leaf[string] // by reference: the id of the order

	told    map[string]int // how much of an order's history is in the feed
	changed []string       // the ids of orders that are not written yet, as they changed
}

func newBooks(cfg Config) *books {
	return &books{
		cfg: cfg, now: time.Now().UTC(), told: map[string]int{},
		orders: map[string]*leaf[Order]{}, stock: map[string]*leaf[Stock]{}, payments: map[string]*leaf[string]{},
	}
}

// leaf is an entry.
type leaf[T any] struct {
	value    T
	there    bool
	revision uint64 // zero if it was never there
	size     int    // of what was read, in bytes
	changed  bool
	err      error // why it cannot be read
}

func (l *leaf[T]) write(v T) { l.value, l.there, l.changed = v, true, true }

func (l *leaf[T]) wrote(revision uint64) { l.revision, l.changed = revision, false }

// leafOf is an entry as it was found, or was not.
func leafOf[T any](e streams.Entry) *leaf[T] {
	l := &leaf[T]{revision: e.Revision, size: len(e.Value), there: len(e.Value) > 0}
	if l.there {
		if err := json.Unmarshal(e.Value, &l.value); err != nil {
			l.err = fmt.Errorf("%s is not readable: %w", e.Key, err)
		}
	}
	return l
}

// orderOf is the order of an entry. One that is under another's key, by somebody's own
// hand, is not taken for it.
func orderOf(e streams.Entry) *leaf[Order] {
	l := leafOf[Order](e)
	if l.there && l.err == nil && (orderKey(l.value.ID) != e.Key || len(l.value.History) == 0) {
		l.err = fmt.Errorf("%s is not readable: it is about the order %q, in %d steps", e.Key, l.value.ID, len(l.value.History))
	}
	return l
}

// sizeOf is how many bytes a command brings along that are there already. Nothing is
// known without books.
func (b *books) sizeOf(c *command) int {
	if b == nil {
		return 0
	}
	size := 0
	if order := b.orders[c.order]; order != nil {
		size += order.size
	}
	for _, sku := range c.skus {
		if stock := b.stock[sku]; stock != nil {
			size += stock.size
		}
	}
	return size
}

// missing are the keys of what commands are about and has no leaf, with what to do
// when that is found, or is not.
func (b *books) missing(group []*command) map[string]func(streams.Entry) {
	all := map[string]func(streams.Entry){}
	for _, c := range group {
		if id := c.order; id != "" && b.orders[id] == nil {
			all[orderKey(id)] = func(e streams.Entry) {
				b.orders[id] = orderOf(e)
				b.told[id] = len(b.orders[id].value.History)
			}
		}
		if c.reference != "" && b.payments[c.reference] == nil {
			all[paymentKey(c.reference)] = func(e streams.Entry) { b.payments[c.reference] = leafOf[string](e) }
		}
		for _, sku := range c.skus {
			if b.stock[sku] == nil {
				all[stockKey(sku)] = func(e streams.Entry) { b.stock[sku] = leafOf[Stock](e) }
			}
		}
	}
	return all
}

// unreadable says why something that a command is about cannot be read, or nil.
func (b *books) unreadable(c *command) error {
	var errs []error
	if c.order != "" {
		errs = append(errs, b.orders[c.order].err)
	}
	if c.reference != "" {
		errs = append(errs, b.payments[c.reference].err)
	}
	for _, sku := range c.skus {
		errs = append(errs, b.stock[sku].err)
	}
	return errors.Join(errs...)
}

// put changes an order.
func (b *books) put(o Order) {
	leaf := b.orders[o.ID]
	if !leaf.changed {
		b.changed = append(b.changed, o.ID)
	}
	leaf.write(o)
}

// place takes a new order in: it awaits its payment, or is rejected with the reason.
// An order that is there already stays as it is.
func (b *books) place(p Placement, taskID string, submitted time.Time) (Order, error) {
	leaf := b.orders[p.OrderID]
	if leaf.there {
		if !leaf.value.isOf(p) {
			return Order{}, differs(p.OrderID)
		}
		return leaf.value, nil
	}
	event := Event{Action: Accept, At: b.now, TaskID: taskID}
	var holds []Hold
	if err := p.Validate(); err != nil {
		event.Action, event.Reason = Reject, err.Error()
	} else if holds, event.Reason = b.holds(p.Items); event.Reason != "" {
		event.Action = Reject
	}
	order, err := Apply(newOrder(p, taskID, submitted), event)
	if err != nil {
		return Order{}, err
	}
	if event.Action == Accept {
		order.PayBy = b.now.Add(b.cfg.PaymentTime).UTC()
		order.Holds = holds
		for _, h := range holds {
			stock := b.stock[h.SKU]
			stock.write(stock.value.reserved(h.Quantity, b.now))
		}
	}
	b.put(order)
	return order, nil
}

// holds is what an order with those lines takes from the stock, or why it cannot.
func (b *books) holds(items []Line) (holds []Hold, shortage string) {
	for _, l := range items {
		stock := b.stock[l.SKU]
		if !stock.there {
			if b.cfg.RejectUntracked {
				return nil, fmt.Sprintf("there is no stock of %q", l.SKU)
			}
			continue
		}
		if i := slices.IndexFunc(holds, func(h Hold) bool { return h.SKU == l.SKU }); i >= 0 {
			holds[i].Quantity += l.Quantity
		} else {
			holds = append(holds, Hold{l.SKU, l.Quantity})
		}
	}
	for _, h := range holds {
		if left := b.stock[h.SKU].value.Available(); h.Quantity > left {
			return nil, fmt.Sprintf("out of stock: %d of %q were ordered, and %d can be had", h.Quantity, h.SKU, left)
		}
	}
	return holds, ""
}

// act lets something happen to an order that is there.
func (b *books) act(id string, e Event) (Order, error) {
	leaf := b.orders[id]
	if !leaf.there {
		return Order{}, fmt.Errorf("order %s: %w", id, millrace.ErrNotFound)
	}
	order, err := Apply(leaf.value, e)
	if err != nil {
		return leaf.value, err
	}
	switch e.Action {
	case Cancel, Expire:
		order = b.settle(order, Stock.released)
	case Fulfil:
		order = b.settle(order, Stock.sold)
	}
	b.put(order)
	return order, nil
}

// settle ends what an order holds.
func (b *books) settle(o Order, how func(Stock, int64, time.Time) Stock) Order {
	for _, h := range o.Holds {
		if stock := b.stock[h.SKU]; stock.there { // or somebody has removed it by hand
			stock.write(how(stock.value, h.Quantity, b.now))
		}
	}
	o.Holds = nil
	return o
}

// cancel calls an order off, also one that no worker has come to yet: then placed is
// what its task says.
func (b *books) cancel(id string, placed *Order, reason string) (Order, error) {
	leaf := b.orders[id]
	if !leaf.there && placed != nil {
		order, err := Apply(*placed, Event{Action: Cancel, At: b.now, Reason: reason})
		if err == nil {
			b.put(order)
		}
		return order, err
	}
	if leaf.there && leaf.value.State == Cancelled {
		return leaf.value, nil
	}
	return b.act(id, Event{Action: Cancel, At: b.now, Reason: reason})
}

// expire ends an order that is not paid in time. Any other is left alone.
func (b *books) expire(id, taskID string) (order Order, expired bool, err error) {
	leaf := b.orders[id]
	if leaf.there && (leaf.value.State != AwaitingPayment || b.now.Before(leaf.value.PayBy)) {
		return leaf.value, false, nil
	}
	order, err = b.act(id, Event{Action: Expire, At: b.now, TaskID: taskID, Reason: "not paid in time"})
	return order, err == nil, err
}

// fulfil ends an order that is paid. To do it again changes nothing.
func (b *books) fulfil(id, taskID string) (Order, error) {
	if leaf := b.orders[id]; leaf.there && leaf.value.State == Fulfilled {
		return leaf.value, nil
	}
	return b.act(id, Event{Action: Fulfil, At: b.now, TaskID: taskID})
}

// pay records a payment. One that comes too late, or once more, is recorded too, and
// has to be paid back: the order stays as it is.
func (b *books) pay(id string, p Payment) (Order, error) {
	leaf := b.orders[id]
	if !leaf.there {
		return Order{}, fmt.Errorf("order %s: %w", id, millrace.ErrNotFound)
	}
	order, taken := leaf.value, b.payments[p.Reference]
	if err := p.isOf(order); err != nil {
		return order, err
	}
	if i := slices.IndexFunc(order.Payments, func(done Payment) bool { return done.Reference == p.Reference }); i >= 0 {
		if done := order.Payments[i]; done.AmountMinor != p.AmountMinor || done.Currency != p.Currency {
			return order, fmt.Errorf("%w: a payment with the reference %q was recorded before, of %d %s", millrace.ErrConflict, p.Reference, done.AmountMinor, done.Currency)
		}
		return order, nil
	}
	if taken.there {
		return order, fmt.Errorf("%w: the payment %q is of another order", millrace.ErrConflict, p.Reference)
	}
	if err := p.fits(order); err != nil {
		return order, err
	}
	p.At, p.RefundDue = b.now.UTC(), false // whatever its sender says
	event := Event{Action: Pay, At: b.now, Reason: fmt.Sprintf("payment %s", p.Reference)}
	next, err := Apply(order, event)
	if err != nil {
		p.RefundDue = true
		event.Reason = fmt.Sprintf("payment %s came when the order was %s: a refund is due", p.Reference, order.State)
		next = note(order, event)
	}
	next.Payments = append(slices.Clip(order.Payments), p)
	b.put(next)
	taken.write(id)
	return next, nil
}

// update is what has changed in the books, and is to be written.
type update struct {
	writes  []streams.Write
	written []func(revision uint64) // what to do when that is done
	events  []streams.Event
}

func (b *books) update() (u update, err error) {
	for _, id := range b.changed {
		leaf := b.orders[id]
		if err := add(&u, leaf, orderKey(id), b.cfg.retention(leaf.value)); err != nil {
			return u, err
		}
		for n := b.told[id] + 1; n <= len(leaf.value.History); n++ {
			e, err := noticeOf(leaf.value, n)
			if err != nil {
				return u, err
			}
			u.events = append(u.events, e)
		}
	}
	for sku, leaf := range b.stock {
		if err := add(&u, leaf, stockKey(sku), 0); err != nil {
			return u, err
		}
	}
	for reference, leaf := range b.payments {
		if err := add(&u, leaf, paymentKey(reference), b.cfg.paymentRetention()); err != nil {
			return u, err
		}
	}
	return u, nil
}

func add[T any](u *update, p *leaf[T], key string, ttl time.Duration) error {
	if !p.changed {
		return nil
	}
	data, err := json.Marshal(p.value)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", millrace.ErrInvalid, key, err)
	}
	u.writes = append(u.writes, streams.Write{Key: key, Value: data, Revision: p.revision, TTL: ttl})
	u.written = append(u.written, p.wrote)
	return nil
}

// wrote notes that an update is written.
func (b *books) wrote(u update, revisions []uint64) {
	for i, revision := range revisions {
		u.written[i](revision)
	}
	for _, id := range b.changed {
		b.told[id] = len(b.orders[id].value.History)
	}
	b.changed = nil
}
