package orders

import (
	"context"
	"errors"
	"fmt"

	"millrace"
)

// Pay records a payment, and has the order fulfilled. To do it again with the same
// reference changes nothing. A payment that comes when the order is closed, or paid
// already, is recorded too, and has to be paid back; the order stays as it is.
//
// Errors are [Violations] (it is not what the order costs), or wrap
// [millrace.ErrNotFound], [millrace.ErrGone], [millrace.ErrConflict] (no worker has
// decided on the order yet, or the payment is of another order), or
// [millrace.ErrUnavailable]: then try again.
func (o *Orders) Pay(ctx context.Context, id string, p Payment) (order Order, version string, err error) {
	if err := p.Validate(); err != nil {
		return Order{}, "", err
	}
	return o.act(ctx, Pay, id, &command{order: id, reference: p.Reference}, func(b *books) (Order, error) { return b.pay(id, p) })
}

// Cancel calls an order off that is not paid, and gives its stock back. To do it
// again changes nothing. When it is too late the error is a [*TransitionError], and
// the order is returned as it stands.
func (o *Orders) Cancel(ctx context.Context, id, reason string) (order Order, version string, err error) {
	var v Violations
	if v.text("body.reason", reason, MaxTextLen); len(v) > 0 {
		return Order{}, "", v
	}
	var placed *Order // if no worker has come to it
	for {
		order, version, err = o.act(ctx, Cancel, id, &command{order: id, holds: true}, func(b *books) (Order, error) { return b.cancel(id, placed, reason) })
		if late, ok := errors.AsType[*TransitionError](err); !ok || late.State != Placed || placed != nil {
			return order, version, err
		}
		if undecided, missing := o.pending(ctx, id); missing == nil {
			placed = &undecided
		}
	}
}

// Fulfil says that the goods of an order that is paid were sent. To say it again
// changes nothing. When the order is not paid the error is a [*TransitionError].
func (o *Orders) Fulfil(ctx context.Context, id string) (order Order, version string, err error) {
	return o.act(ctx, Fulfil, id, &command{order: id, holds: true}, func(b *books) (Order, error) { return b.fulfil(id, "") })
}

func (o *Orders) fulfilled(ctx context.Context, id, taskID string) (Order, error) {
	order, _, err := o.act(ctx, Fulfil, id, &command{order: id, holds: true}, func(b *books) (Order, error) { return b.fulfil(id, taskID) })
	return order, err
}

// act lets something happen to one order, and sees to what follows.
func (o *Orders) act(ctx context.Context, action Action, id string, c *command, do func(*books) (Order, error)) (order Order, version string, err error) {
	if err := validateOrderID(id); err != nil {
		return Order{}, "", err
	}
	var state State // that this has brought it to
	c.apply = func(b *books) (err error) {
		order, err = do(b)
		state = order.State
		return err
	}
	// More may have happened to it in the same batch, and it has one version after it.
	c.written = func(b *books) { order, version = b.orders[id].value, versionOf(b.orders[id].revision) }
	for {
		if err = o.ledger.do(ctx, c)[0]; !errors.Is(err, millrace.ErrNotFound) {
			break
		}
		found, _, missing := o.Get(ctx, id)
		if missing == nil && found.State != Placed {
			continue // a worker has come to it just now
		}
		if err = missing; err == nil {
			err = fmt.Errorf("order %s: %w", id, &TransitionError{State: Placed, Action: action})
		}
		return found, "", err
	}
	if err != nil {
		return order, "", fmt.Errorf("order %s: %w", id, err)
	}
	// It is done, whether or not somebody still waits to hear of it.
	ctx = context.WithoutCancel(ctx)
	if state == Paid || state == Cancelled {
		o.callOff(ctx, id)
	}
	return order, version, o.followUp(ctx, nil, order)
}
