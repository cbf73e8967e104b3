package orders

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// maxPlaced is how many orders are decided on at once, and placedWait how long the
// first of them waits for others.
const (
	maxPlaced  = 300
	placedWait = 5 * time.Millisecond
)

// placed decides on orders and records them. Only the first who does so for an order
// has an effect: whoever comes later, since the worker died before its task was
// finished, or since two had the task, finds the order there and only sees to what
// follows.
//
// An order that is not valid, or of which there is too little in stock, is recorded
// as rejected: that is a decision, so the task succeeds. What fails for good is a
// task that no order can be made of, and one whose id another order has; only a
// hand-made task can be either.
func (o *Orders) placed(ctx context.Context, tasks []millrace.Task[Placement]) ([]processor.Result[Outcome], error) {
	results := make([]processor.Result[Outcome], len(tasks))
	found := make([]Order, len(tasks))
	var commands []*command
	var decided []int
	for i, t := range tasks {
		if err := validateOrderID(t.Args.OrderID); err != nil {
			results[i].Err = millrace.Permanent(fmt.Errorf("order_id: %w", err))
			continue
		}
		submitted := t.SubmittedAt
		if submitted.IsZero() {
			submitted = time.Now()
		}
		commands = append(commands, placing(t.Args, func(b *books) (err error) {
			found[i], err = b.place(t.Args, t.ID, submitted)
			return err
		}))
		decided = append(decided, i)
	}
	for n, err := range o.ledger.do(ctx, commands...) {
		results[decided[n]].Err = permanent(err)
	}
	following, traces := make([]Order, 0, len(tasks)), make([]millrace.Trace, 0, len(tasks))
	for i, order := range found {
		if order.ID != "" && results[i].Err == nil {
			results[i].Value = outcomeOf(order)
			following, traces = append(following, order), append(traces, tasks[i].Trace)
		}
	}
	// Before the tasks are done with. If it fails, they come again.
	if err := o.followUp(ctx, traces, following...); err != nil {
		return nil, err
	}
	return results, nil
}

// placing is the command for a placement. What is not valid is about no stock.
func placing(p Placement, apply func(*books) error) *command {
	c := &command{order: p.OrderID, apply: apply}
	if p.Validate() == nil {
		c.skus = make([]string, len(p.Items))
		for i, l := range p.Items {
			c.skus[i] = l.SKU
			c.bytes += 100 + len(l.SKU) + len(l.Description)
		}
		slices.Sort(c.skus)
		c.skus = slices.Compact(c.skus)
	}
	return c
}

// permanent is err, such that it fails a task for good if trying again cannot help.
func permanent(err error) error {
	if errors.Is(err, millrace.ErrConflict) || errors.Is(err, millrace.ErrInvalid) {
		return millrace.Permanent(err)
	}
	return err
}

func outcomeOf(o Order) Outcome {
	out := Outcome{OrderID: o.ID, State: o.State, TotalMinor: o.TotalMinor}
	if o.State == Rejected && len(o.History) > 0 {
		out.Reason = o.History[len(o.History)-1].Reason
	}
	return out
}
