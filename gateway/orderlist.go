package gateway

import (
	"context"
	"errors"

	"millrace"
	"millrace/orders"
)

type listOrdersInput struct {
	State     string `query:"state" enum:"awaiting_payment,paid,fulfilled,rejected,cancelled,expired"`
	Customer  string `query:"customer" maxLength:"100" doc:"The customer_id."`
	Reference string `query:"reference" maxLength:"100"`
	RefundDue string `query:"refund_due" enum:"true,false" doc:"Whether a payment has to be paid back."`
	Limit     int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	After     string `query:"after" maxLength:"100" doc:"Where to go on: next_cursor of the page before, with all else as it was."`
}

type listOrdersOutput struct {
	Body struct {
		Orders     []orders.Summary `json:"orders"`
		NextCursor string           `json:"next_cursor,omitempty" doc:"For the next page; missing on the last one. A page may be short, even empty, and not the last."`
	}
}

func (g *Gateway) listOrders(ctx context.Context, in *listOrdersInput) (*listOrdersOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	q := orders.Query{State: orders.State(in.State), CustomerID: in.Customer, Reference: in.Reference, Limit: in.Limit, After: in.After}
	if in.RefundDue != "" {
		due := in.RefundDue == "true"
		q.RefundDue = &due
	}
	page, next, err := g.orders.List(ctx, q)
	if errors.Is(err, millrace.ErrInvalid) {
		return nil, refusedFor("query.after", err)
	}
	if err != nil {
		return nil, err
	}
	out := &listOrdersOutput{}
	out.Body.Orders, out.Body.NextCursor = append([]orders.Summary{}, page...), next
	return out, nil
}
