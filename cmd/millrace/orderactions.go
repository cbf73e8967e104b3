package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

type orderPayCmd struct {
	clientFlags
	ID        string `arg:"" help:"The order's id."`
	Amount    int64  `arg:"" help:"The whole total, in minor units (pence, cents)."`
	Currency  string `arg:"" help:"The order's currency, as in GBP."`
	Reference string `arg:"" help:"The payment provider's name of the payment: the same one again is the same payment."`
	Customer  string `help:"Whose payment it is: it must be the order's customer then."`
}

// Run records the payment and prints the order.
func (c *orderPayCmd) Run(ctx context.Context, io stdio) error {
	return c.act(ctx, io, c.ID, "payment", struct {
		Reference   string `json:"reference"`
		AmountMinor int64  `json:"amount_minor"`
		Currency    string `json:"currency"`
		CustomerID  string `json:"customer_id,omitempty"`
	}{c.Reference, c.Amount, c.Currency, c.Customer})
}

type orderCancelCmd struct {
	clientFlags
	ID     string `arg:"" help:"The order's id."`
	Reason string `arg:"" help:"Why, for the order's history."`
}

// Run calls the order off and prints it.
func (c *orderCancelCmd) Run(ctx context.Context, io stdio) error {
	return c.act(ctx, io, c.ID, "cancel", struct {
		Reason string `json:"reason"`
	}{c.Reason})
}

type orderFulfilCmd struct {
	clientFlags
	IDs []string `arg:"" name:"id" help:"The orders' ids."`
}

// Run says of one after another that it is fulfilled, and goes on after one that
// cannot be.
func (c *orderFulfilCmd) Run(ctx context.Context, io stdio) error {
	var errs []error
	for _, id := range c.IDs {
		errs = append(errs, c.act(ctx, io, id, "fulfil", nil))
	}
	return errors.Join(errs...)
}

// act lets something happen to an order and prints it.
func (f clientFlags) act(ctx context.Context, io stdio, id, action string, body any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}
	}
	answer, err := f.call(ctx, http.MethodPost, orderPath(id)+"/"+action, data, nil)
	if err != nil {
		return err
	}
	return f.show(io.out, answer)
}

func orderPath(id string) string { return "/v1/orders/" + url.PathEscape(id) }

type orderListCmd struct {
	clientFlags
	State     string `help:"Only those in this state: awaiting_payment, paid, fulfilled, rejected, cancelled or expired."`
	Customer  string `help:"Only those of this customer."`
	Reference string `help:"Only those with this reference."`
	RefundDue bool   `help:"Only those of which a payment has to be paid back."`
	pageFlags
}

// listedOrder is what the table shows of an order.
type listedOrder struct {
	ID, State, Reference, Currency string
	CustomerID                     string    `json:"customer_id"`
	TotalMinor                     int64     `json:"total_minor"`
	RefundDue                      bool      `json:"refund_due"`
	PlacedAt                       time.Time `json:"placed_at"`
	UpdatedAt                      time.Time `json:"updated_at"`
}

// Run lists page by page.
func (c *orderListCmd) Run(ctx context.Context, io stdio) error {
	query := url.Values{}
	for name, value := range map[string]string{"state": c.State, "customer": c.Customer, "reference": c.Reference} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if c.RefundDue {
		query.Set("refund_due", "true")
	}
	list := newTable(io.out, c.JSON, "ID", "STATE", "REFERENCE", "CUSTOMER", "TOTAL", "PLACED", "CHANGED", "REFUND")
	err := c.pages(ctx, io, "/v1/orders", "orders", query, c.pageFlags, func(one json.RawMessage) error {
		var o listedOrder
		if err := json.Unmarshal(one, &o); err != nil {
			return fmt.Errorf("the server's answer is no list of orders: %w", err)
		}
		due := ""
		if o.RefundDue {
			due = "due"
		}
		return list.add(one, o.ID, o.State, shown(o.Reference, 30), shown(o.CustomerID, 30),
			strconv.FormatInt(o.TotalMinor, 10)+" "+o.Currency, shownTime(&o.PlacedAt), shownTime(&o.UpdatedAt), due)
	})
	if err != nil {
		return err
	}
	return list.end("There is no such order. One that no worker has come to yet is not listed.")
}
