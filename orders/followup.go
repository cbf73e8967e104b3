package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"millrace"
)

// What follows from where an order stands are tasks, whose ids are made from the
// order's: to see to it again has no effect. It is done after the order is written,
// and before the task or the request that did so is answered. Who dies in between is
// followed by the same task again, or by the client's next try, or at last by
// [Orders.Reconcile].
const (
	// KindExpire is the kind of the task that ends an order which is not paid in time.
	KindExpire = "order.expire"
	// KindFulfil is the kind of the task that fulfils an order which is paid.
	KindFulfil = "order.fulfil"
)

// Reminder is the args of the tasks that follow from an order.
type Reminder struct {
	OrderID string `json:"order_id"`
}

// maxFollowing is how many follow-ups are written at once.
const maxFollowing = 256

// followUp sees to what follows from where orders stand, each in its trace; without
// traces all are in that of ctx.
func (o *Orders) followUp(ctx context.Context, traces []millrace.Trace, all ...Order) error {
	errs := make([]error, len(all))
	places := make(chan struct{}, maxFollowing)
	var following sync.WaitGroup
	for i, order := range all {
		if order.State != AwaitingPayment && order.State != Paid {
			continue
		}
		places <- struct{}{}
		in := ctx
		if traces != nil {
			in = millrace.WithTrace(ctx, traces[i])
		}
		following.Go(func() {
			errs[i] = o.follow(in, order)
			<-places
		})
	}
	following.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("what follows from an order: %w", err)
	}
	return nil
}

func (o *Orders) follow(ctx context.Context, order Order) error {
	switch {
	case order.State == AwaitingPayment:
		return o.remind(ctx, KindExpire, expireTaskID(order.ID), order.ID, order.PayBy)
	case order.State == Paid && !o.cfg.ByHand:
		return o.remind(ctx, KindFulfil, fulfilTaskID(order.ID), order.ID, time.Time{})
	}
	return nil
}

// remind submits a task about an order, once.
func (o *Orders) remind(ctx context.Context, kind, id, orderID string, at time.Time) error {
	args, err := json.Marshal(Reminder{orderID})
	if err != nil {
		return err
	}
	err = o.store.SubmitAt(ctx, millrace.RawTask{ID: id, Kind: kind, Args: args, SubmittedAt: time.Now().UTC()}, at)
	if errors.Is(err, millrace.ErrConflict) {
		return nil // it was there
	}
	return err
}

// callOff takes back the reminder that an order is to be paid. Nothing depends on it:
// one that comes finds the order as it stands.
func (o *Orders) callOff(ctx context.Context, orderID string) {
	_, err := o.store.Cancel(ctx, expireTaskID(orderID))
	var final *millrace.FinalError
	if err != nil && !errors.As(err, &final) && !errors.Is(err, millrace.ErrNotFound) && !errors.Is(err, millrace.ErrGone) {
		o.cfg.Logger.Warn("cannot take back the reminder of an order", "order", orderID, "error", err)
	}
}
