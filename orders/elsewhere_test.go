package orders_test

import (
	"context"
	"testing"

	"millrace"
	"millrace/orders"
	"millrace/processor"
)

// A worker of the shop's own fulfils what is paid, and nobody else does.
func TestFulfilledElsewhere(t *testing.T) {
	s := openShop(t).reopen(orders.Config{Elsewhere: true})
	s.work(t)
	receipt := s.place(t, mugs("mine"))
	s.outcome(t, receipt.TaskID)
	if _, _, err := s.Pay(t.Context(), "mine", orders.Payment{Reference: "p", AmountMinor: mugsTotal, Currency: "GBP"}); err != nil {
		t.Fatal(err)
	}
	own := processor.New(s.store, processor.Config{})
	processor.Handle(own, orders.KindFulfil, func(ctx context.Context, task millrace.Task[orders.Reminder]) (orders.Standing, error) {
		order, _, err := s.Fulfil(ctx, task.Args.OrderID)
		return orders.Standing{OrderID: order.ID, State: order.State}, err
	}, processor.Kind{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- own.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if r := s.wait(t, "mine-fulfil"); r.State != millrace.Succeeded {
		t.Errorf("%s: %s", r.State, r.Error)
	}
	if order, _ := s.get(t, "mine"); order.State != orders.Fulfilled {
		t.Errorf("it is %s", order.State)
	}
}
