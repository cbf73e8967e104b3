package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"millrace"
	"millrace/streams"
)

// KindPlaced is the kind of the task that an order begins as.
const KindPlaced = "order.placed"

// Orders takes orders in and shows them. It is safe for many goroutines.
type Orders struct {
	cfg    Config
	store  *streams.Store
	bucket streams.Ledger
	ledger *ledger
	found  atomic.Uint64 // orders that were left behind: see reconcile
}

// New returns the orders that are kept in store.
func New(store *streams.Store, cfg Config) *Orders {
	cfg = cfg.withDefaults()
	return &Orders{cfg: cfg, store: store, bucket: store.Ledger(), ledger: &ledger{cfg: cfg, store: store.Ledger()}}
}

// Receipt says that an order was accepted, and what to ask for it by.
type Receipt struct {
	OrderID string `json:"order_id"`
	// TaskID is the task that brings the order on its way.
	TaskID string `json:"task_id"`
	// Status is the order's state: placed, or what has become of it since if the
	// same order was placed before.
	Status State `json:"status"`
}

// Place accepts an order. When it returns nil the order is on disk and will be
// worked on.
//
// With an OrderID of the caller's, to place the same order again is safe after
// any error and at any time: there is one order, and the receipt says how it
// stands. Errors are [Violations], or wrap [millrace.ErrConflict] (another order
// has that id), [millrace.ErrGone] (it was placed, and is not kept any more),
// [millrace.ErrQueueFull] (nothing was stored) or [millrace.ErrUnavailable] (nothing
// was stored, or no answer came).
func (o *Orders) Place(ctx context.Context, p Placement) (Receipt, error) {
	if err := p.Validate(); err != nil {
		return Receipt{}, err
	}
	if p.OrderID == "" {
		p.OrderID = millrace.NewID()
	} else if order, _, err := o.recorded(ctx, p.OrderID); !errors.Is(err, millrace.ErrNotFound) {
		// The log alone does not tell: it forgets tasks that are long done.
		return receiptAgain(order, p, err)
	}
	args, err := json.Marshal(p)
	if err != nil {
		return Receipt{}, fmt.Errorf("place order %s: %w", p.OrderID, err)
	}
	if len(args) > MaxSize {
		return Receipt{}, Violations{{"body", fmt.Sprintf("the order has %d bytes, and %d is the most: place it as several orders", len(args), MaxSize)}}
	}
	task := millrace.RawTask{ID: placedTaskID(p.OrderID), Kind: KindPlaced, Args: args, SubmittedAt: time.Now().UTC()}
	err = o.store.Submit(ctx, task)
	if errors.Is(err, millrace.ErrConflict) {
		order, _, err := o.Get(ctx, p.OrderID)
		if errors.Is(err, millrace.ErrNotFound) {
			err = fmt.Errorf("%w: its task %s is there already, but what it says of the order cannot be read just now", millrace.ErrUnavailable, task.ID)
		}
		return receiptAgain(order, p, err)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("place order %s: %w", p.OrderID, err)
	}
	return Receipt{OrderID: p.OrderID, TaskID: task.ID, Status: Placed}, nil
}

// receiptAgain is the answer to p when an order of that id is there already, or
// could not be looked at.
func receiptAgain(order Order, p Placement, err error) (Receipt, error) {
	switch {
	case err != nil:
		return Receipt{}, fmt.Errorf("place order %s: %w", p.OrderID, err)
	case !order.isOf(p):
		return Receipt{}, differs(p.OrderID)
	}
	return Receipt{OrderID: order.ID, TaskID: placedTaskID(order.ID), Status: order.State}, nil
}

func differs(orderID string) error {
	return fmt.Errorf("%w: an order with the id %s was placed before, and it is not the same", millrace.ErrConflict, orderID)
}

// Get returns an order and its version, which changes whenever the order does.
// An order that no worker has come to yet is placed. An id that no order was
// placed under is [millrace.ErrNotFound], one that no order can have
// [millrace.ErrInvalid]; one that is not kept any more is [millrace.ErrGone], for as
// long as that is known. [millrace.ErrUnavailable] says nothing about the order.
func (o *Orders) Get(ctx context.Context, id string) (order Order, version string, err error) {
	if err := validateOrderID(id); err != nil {
		return Order{}, "", err
	}
	order, version, err = o.recorded(ctx, id)
	if !errors.Is(err, millrace.ErrNotFound) {
		return order, version, err
	}
	placed, inLog := o.pending(ctx, id)
	if inLog != nil && !errors.Is(inLog, millrace.ErrNotFound) && !errors.Is(inLog, millrace.ErrGone) {
		return Order{}, "", inLog
	}
	// A worker may have come to it between the two looks.
	order, version, err = o.recorded(ctx, id)
	switch missing := errors.Is(err, millrace.ErrNotFound); {
	case missing && inLog == nil:
		return placed, string(Placed), nil
	case missing && errors.Is(inLog, millrace.ErrGone):
		return Order{}, "", inLog
	}
	return order, version, err
}

// recorded is the order as a worker has left it.
func (o *Orders) recorded(ctx context.Context, id string) (Order, string, error) {
	data, revision, err := o.bucket.Get(ctx, orderKey(id))
	if errors.Is(err, millrace.ErrNotFound) {
		return Order{}, "", fmt.Errorf("order %s: %w", id, millrace.ErrNotFound)
	}
	if err != nil {
		return Order{}, "", err
	}
	found := orderOf(streams.Entry{Key: orderKey(id), Value: data, Revision: revision})
	return found.value, versionOf(revision), found.err
}

// pending is the order as its task tells it.
func (o *Orders) pending(ctx context.Context, id string) (Order, error) {
	task, err := o.store.Task(ctx, KindPlaced, placedTaskID(id))
	if err != nil {
		return Order{}, fmt.Errorf("order %s: %w", id, err)
	}
	var p Placement
	if err := json.Unmarshal(task.Args, &p); err != nil || p.OrderID != id {
		// Somebody's own task, which will fail for that.
		return Order{}, fmt.Errorf("order %s: %w", id, millrace.ErrNotFound)
	}
	// One that was recorded and is gone was not to be kept, whatever holds now.
	found, err := o.store.Lookup(ctx, task.ID)
	if errors.Is(err, millrace.ErrGone) || err == nil && found.Record.State == millrace.Succeeded {
		return Order{}, fmt.Errorf("order %s: %w", id, millrace.ErrGone)
	}
	if err != nil && !errors.Is(err, millrace.ErrNotFound) {
		return Order{}, fmt.Errorf("order %s: %w", id, err)
	}
	return newOrder(p, task.ID, task.SubmittedAt), nil
}

// versionOf is the version of an order that is kept under that revision.
func versionOf(revision uint64) string { return fmt.Sprintf("o%d", revision) }
