package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"millrace"
)

// Placement is an order to be placed. Amounts are in minor units of its currency: pence,
// cents.
type Placement struct {
	// OrderID names the order: with an id of one's own, to place it again is to place it
	// once, at any time. Empty makes a new one.
	OrderID string `json:"order_id,omitzero"`
	// Reference is the shop's own number of the order.
	Reference  string `json:"reference,omitzero"`
	CustomerID string `json:"customer_id,omitzero"`
	Country    string `json:"country,omitzero"`
	// Currency is an ISO 4217 code, as in "GBP".
	Currency string `json:"currency"`
	// Date is the day as the shop writes it.
	Date  string `json:"date,omitzero"`
	Items []Line `json:"items"`
}

// Line is one line of an order.
type Line struct {
	SKU            string `json:"sku"`
	Description    string `json:"description,omitzero"`
	Quantity       int64  `json:"quantity"`
	UnitPriceMinor int64  `json:"unit_price_minor"`
}

// OrderReceipt says that an order is on disk.
type OrderReceipt struct {
	OrderID string `json:"order_id"`
	// TaskID is the task that brings the order on its way: [Client.Wait] for it, and
	// the order is decided on.
	TaskID string `json:"task_id"`
	// Status is the order's state: placed, or what has become of it since if the same
	// order was placed before.
	Status string `json:"status"`
}

// Order is an order as it stands.
type Order struct {
	ID         string `json:"id"`
	Reference  string `json:"reference"`
	CustomerID string `json:"customer_id"`
	Country    string `json:"country"`
	Currency   string `json:"currency"`
	Date       string `json:"date"`
	Items      []Line `json:"items"`
	// State is placed, awaiting_payment, paid, fulfilled, rejected, cancelled or expired.
	State      string `json:"state"`
	TotalMinor int64  `json:"total_minor"`
	// RefundDue means that a payment has to be paid back.
	RefundDue bool `json:"refund_due"`
	// PayBy is when the order expires if it is not paid.
	PayBy time.Time `json:"pay_by"`
	// Holds is the stock that is reserved for it.
	Holds    []Hold    `json:"holds"`
	Payments []Payment `json:"payments"`
	// History is how it got where it stands, oldest first.
	History []Change `json:"history"`
}

// Hold is stock that is reserved for an order.
type Hold struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Payment is a payment that came for an order.
type Payment struct {
	Reference   string    `json:"reference"`
	AmountMinor int64     `json:"amount_minor"`
	Currency    string    `json:"currency"`
	CustomerID  string    `json:"customer_id"`
	At          time.Time `json:"at"`
	RefundDue   bool      `json:"refund_due"`
}

// Change is an order's coming to a state.
type Change struct {
	State  string    `json:"state"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	TaskID string    `json:"task_id"`
}

// PlaceOrder places an order. When it returns nil the order is on disk. An order that is
// not valid is [millrace.ErrInvalid]; another one of the same id is
// [millrace.ErrConflict], one that is not kept any more [millrace.ErrGone].
func (c *Client) PlaceOrder(ctx context.Context, p Placement) (r OrderReceipt, err error) {
	if p.OrderID == "" {
		p.OrderID = millrace.NewID()
	}
	body, err := json.Marshal(p)
	if err != nil {
		return r, fmt.Errorf("place order %s: %w", p.OrderID, err)
	}
	_, err = c.call(ctx, request{method: http.MethodPost, path: "/v1/orders", body: body}, &r)
	return r, err
}

// Order returns an order, or [millrace.ErrNotFound], or [millrace.ErrGone] if it is not
// kept any more.
func (c *Client) Order(ctx context.Context, id string) (o Order, err error) {
	_, err = c.call(ctx, request{method: http.MethodGet, path: "/v1/orders/" + url.PathEscape(id)}, &o)
	return o, err
}
