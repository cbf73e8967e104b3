package orders

import (
	"context"
	"fmt"
	"time"

	"millrace"
	"millrace/processor"
)

// Register lets p work on orders: on those that were placed, those that are not paid
// in time, and those that are to be fulfilled.
func (o *Orders) Register(p *processor.Processor) {
	// An order fails only for want of the broker, so it is worth trying for more than
	// an hour.
	patient := processor.Kind{
		MaxAttempts: 100,
		Backoff:     &millrace.Backoff{Policy: millrace.Exponential, Delay: millrace.Duration(time.Second), Max: millrace.Duration(time.Minute), Jitter: 0.2},
		Timeout:     30 * time.Second,
	}
	processor.HandleBatch(p, KindPlaced, o.placed, processor.Batch{Size: maxPlaced, Wait: placedWait}, patient)
	processor.HandleBatch(p, KindExpire, o.expire, processor.Batch{Size: maxPlaced, Wait: placedWait}, patient)
	processor.Handle(p, KindReconcile, o.reconcile, processor.Kind{Timeout: 10 * time.Minute})
	if !o.cfg.ByHand && !o.cfg.Elsewhere {
		fulfilling := patient
		fulfilling.Timeout = 5 * time.Minute // it is somebody else's code
		processor.Handle(p, KindFulfil, o.fulfil, fulfilling)
	}
}

// Standing is the result of the tasks that follow from an order: what it has come to.
type Standing struct {
	OrderID string `json:"order_id"`
	State   State  `json:"state"`
}

// expire ends orders that are not paid in time. Those that are paid, or ended
// otherwise, stay as they are. Nothing else reminds of one whose time has not come by
// this worker's clock, though it has by the broker's: its task comes again.
func (o *Orders) expire(ctx context.Context, tasks []millrace.Task[Reminder]) ([]processor.Result[Standing], error) {
	results := make([]processor.Result[Standing], len(tasks))
	commands := make([]*command, len(tasks))
	for i, t := range tasks {
		commands[i] = &command{order: t.Args.OrderID, holds: true, apply: func(b *books) error {
			order, _, err := b.expire(t.Args.OrderID, t.ID)
			results[i] = processor.Result[Standing]{Value: Standing{t.Args.OrderID, order.State}}
			if order.State == AwaitingPayment {
				results[i].Err = millrace.Snooze(order.PayBy.Sub(b.now))
			}
			return err
		}}
		if err := validateOrderID(t.Args.OrderID); err != nil {
			results[i].Err = millrace.Permanent(fmt.Errorf("order_id: %w", err))
			commands[i] = &command{apply: func(*books) error { return nil }}
		}
	}
	for i, err := range o.ledger.do(ctx, commands...) {
		if err != nil {
			results[i].Err = permanent(err)
		}
	}
	return results, nil
}

// fulfil lets the shop's own function see to the goods, and then ends the order.
func (o *Orders) fulfil(ctx context.Context, t millrace.Task[Reminder]) (Standing, error) {
	if err := validateOrderID(t.Args.OrderID); err != nil {
		return Standing{}, millrace.Permanent(fmt.Errorf("order_id: %w", err))
	}
	order, _, err := o.recorded(ctx, t.Args.OrderID)
	if err != nil {
		return Standing{}, err
	}
	if order.State == Paid {
		if err := o.cfg.Fulfil(ctx, order); err != nil {
			return Standing{}, err
		}
	}
	order, err = o.fulfilled(ctx, t.Args.OrderID, t.ID)
	return Standing{t.Args.OrderID, order.State}, permanent(err)
}
