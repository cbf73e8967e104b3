package orders

import (
	"context"
	"errors"
	"time"

	"millrace"
	"millrace/streams"
)

// KindReconcile is the kind of the task that looks for orders that were left behind.
const KindReconcile = "order.reconcile"

// Reconciling is the schedule of that task.
func Reconciling() millrace.Schedule {
	return millrace.Schedule{
		Name: "orders-reconcile", Kind: KindReconcile, Cron: "*/30 * * * *", Overlap: millrace.OverlapSkip,
		Options: millrace.Options{ResultTTL: millrace.Duration(24 * time.Hour)},
	}
}

// Reconciled is the result of the task [KindReconcile].
type Reconciled struct {
	// Looked is how many orders there were, Expired how many of them were found to be
	// long past the time that they had for their payment, and Unfulfilled how many to be
	// paid without a task that fulfils them.
	Looked      int `json:"looked"`
	Expired     int `json:"expired"`
	Unfulfilled int `json:"unfulfilled"`
	// Forgotten is how many orders were taken out of the list, since the time for which
	// they are kept is over. Those are normal.
	Forgotten int `json:"forgotten"`
}

// leftAfter is for how long what follows from an order may be under way.
const leftAfter = 2 * time.Minute

// reconcile repairs orders whose reminder is lost: a process may have died between
// the order and what follows from it. In normal life there are none.
func (o *Orders) reconcile(ctx context.Context, t millrace.Task[struct{}]) (r Reconciled, err error) {
	var failed []error // one that cannot be repaired holds up none behind it
	err = o.bucket.Each(ctx, orderPrefix+">", func(e streams.Entry) error {
		found := orderOf(e)
		if found.err != nil || !found.there {
			return nil // who looks at it is told
		}
		r.Looked++
		order := found.value
		switch {
		case order.State == AwaitingPayment && time.Since(order.PayBy) > leftAfter:
			left, err := o.overdue(ctx, order.ID, t.ID)
			r.Expired += bit(left)
			failed = append(failed, err)
		case order.State == Paid && !o.cfg.ByHand && time.Since(order.History[len(order.History)-1].At) > leftAfter:
			left, err := o.unfulfilled(ctx, order.ID)
			r.Unfulfilled += bit(left)
			failed = append(failed, err)
		}
		return context.Cause(ctx)
	})
	if n := r.Expired + r.Unfulfilled; n > 0 {
		o.found.Add(uint64(n))
		o.cfg.Logger.Warn("orders had been left behind, and are repaired", "expired", r.Expired, "unfulfilled", r.Unfulfilled)
	}
	failed = append(failed, err)
	r.Forgotten, err = o.forget(ctx)
	return r, errors.Join(append(failed, err)...)
}

// overdue ends an order that was not paid in time, if nothing is left that reminds of
// it. When there was no worker for a while, a reminder is only late.
func (o *Orders) overdue(ctx context.Context, id, taskID string) (expired bool, err error) {
	found, err := o.store.Lookup(ctx, expireTaskID(id))
	if errors.Is(err, millrace.ErrUnavailable) || err == nil && !found.Record.State.Final() {
		return false, nil
	}
	c := &command{order: id, holds: true, apply: func(b *books) (err error) {
		_, expired, err = b.expire(id, taskID)
		return err
	}}
	err = o.ledger.do(ctx, c)[0]
	return expired, err
}

// unfulfilled submits the task that fulfils an order that is paid, if there is none.
func (o *Orders) unfulfilled(ctx context.Context, id string) (bool, error) {
	if _, err := o.store.Lookup(ctx, fulfilTaskID(id)); !errors.Is(err, millrace.ErrNotFound) {
		return false, nil // there is one, or was
	}
	return true, o.remind(ctx, KindFulfil, fulfilTaskID(id), id, time.Time{})
}

// Repaired is how many orders this process has found that were left behind. It should
// be none.
func (o *Orders) Repaired() uint64 { return o.found.Load() }

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
