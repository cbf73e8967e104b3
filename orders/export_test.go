package orders

import (
	"context"

	"millrace"
	"millrace/processor"
)

// What a worker calls, for tests that decide themselves what is delivered when.

// Decide is the handler of [KindPlaced].
func (o *Orders) Decide(ctx context.Context, tasks ...millrace.Task[Placement]) ([]processor.Result[Outcome], error) {
	return o.placed(ctx, tasks)
}

// End is the handler of [KindExpire].
func (o *Orders) End(ctx context.Context, tasks ...millrace.Task[Reminder]) ([]processor.Result[Standing], error) {
	return o.expire(ctx, tasks)
}

// Send is the handler of [KindFulfil].
func (o *Orders) Send(ctx context.Context, task millrace.Task[Reminder]) (Standing, error) {
	return o.fulfil(ctx, task)
}

// Reconcile is the handler of [KindReconcile].
func (o *Orders) Reconcile(ctx context.Context) (Reconciled, error) {
	return o.reconcile(ctx, millrace.Task[struct{}]{ID: "reconcile"})
}
