package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"millrace"
	"millrace/processor"
)

// Outcome is the result of the task [KindPlaced].
type Outcome struct {
	OrderID string `json:"order_id"`
	// State is the order's, awaiting_payment or rejected; if the order had been
	// recorded before, it may be any that follows.
	State      State `json:"state"`
	TotalMinor int64 `json:"total_minor"`
	// Reason is why it was rejected.
	Reason string `json:"reason,omitempty"`
}

// Register lets p work on the orders that were placed.
func (o *Orders) Register(p *processor.Processor) {
	processor.Handle(p, KindPlaced, o.placed, processor.Kind{
		// An order fails only for want of the broker, so it is worth trying for
		// more than an hour.
		MaxAttempts: 100,
		Backoff:     &millrace.Backoff{Policy: millrace.Exponential, Delay: millrace.Duration(time.Second), Max: millrace.Duration(time.Minute), Jitter: 0.2},
		Timeout:     30 * time.Second,
	})
}

// placed decides on an order and records it. There is one write, and only the
// first for an order goes through: whoever comes later, since the worker died
// before its task was finished, or since two had the task, finds the order there
// and has nothing left to do.
//
// An order that is not valid is recorded as rejected: that is a decision, so the
// task succeeds. What fails for good is a task that no order can be made of, and
// one whose id another order has; only a hand-made task can be either.
func (o *Orders) placed(ctx context.Context, t millrace.Task[Placement]) (Outcome, error) {
	if err := validateOrderID(t.Args.OrderID); err != nil {
		return Outcome{}, millrace.Permanent(fmt.Errorf("order_id: %w", err))
	}
	order, err := decide(t, time.Now())
	if err != nil {
		return Outcome{}, millrace.Permanent(err)
	}
	data, err := json.Marshal(order)
	if err != nil {
		return Outcome{}, millrace.Permanent(fmt.Errorf("order %s: %w", order.ID, err))
	}
	_, err = o.bucket.Put(ctx, orderKey(order.ID), data, 0, 0)
	switch {
	case errors.Is(err, millrace.ErrConflict):
		return o.placedBefore(ctx, t.Args)
	case errors.Is(err, millrace.ErrInvalid): // larger than the broker takes
		return Outcome{}, millrace.Permanent(err)
	case err != nil:
		return Outcome{}, err
	}
	return outcomeOf(order), nil
}

// decide brings the order on its way, or rejects it with the reason.
func decide(t millrace.Task[Placement], now time.Time) (Order, error) {
	at := t.SubmittedAt
	if at.IsZero() {
		at = now
	}
	event := Event{Action: Accept, At: now, TaskID: t.ID}
	if err := t.Args.Validate(); err != nil {
		event.Action, event.Reason = Reject, err.Error()
	}
	return Apply(newOrder(t.Args, t.ID, at), event)
}

func (o *Orders) placedBefore(ctx context.Context, p Placement) (Outcome, error) {
	order, _, err := o.recorded(ctx, p.OrderID)
	if err != nil {
		return Outcome{}, err
	}
	if !order.isOf(p) {
		return Outcome{}, millrace.Permanent(differs(p.OrderID))
	}
	return outcomeOf(order), nil
}

func outcomeOf(o Order) Outcome {
	out := Outcome{OrderID: o.ID, State: o.State, TotalMinor: o.TotalMinor}
	if o.State == Rejected && len(o.History) > 0 {
		out.Reason = o.History[len(o.History)-1].Reason
	}
	return out
}
