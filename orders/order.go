// Package orders is the order domain: what a customer may order, what it costs,
// and which states an order goes through.
//
// To place an order is to submit a task, so it is as durable as any: [Orders.Place]
// returns once it is on disk, and the handler that [Orders.Register] adds to a
// processor brings it to awaiting_payment. Start reading at machine.go, the life
// of an order on one page; then orders.go, the way in, and placed.go, the handler.
package orders

import (
	"slices"
	"time"
)

// Order is an order as it is kept, and as it is shown.
type Order struct {
	// ID names the order for ever: [Placement.OrderID].
	ID string `json:"id"`
	// These are what was placed: see [Placement].
	Reference  string `json:"reference"`
	CustomerID string `json:"customer_id"`
	Country    string `json:"country"`
	Currency   string `json:"currency"`
	Date       string `json:"date"`
	Items      []Line `json:"items"`
	// State is where the order stands.
	State State `json:"state"`
	// TotalMinor is the price of all lines, in minor units of Currency. It is
	// zero for an order that was rejected because it cannot be priced.
	TotalMinor int64 `json:"total_minor"`
	// PayBy is when the order expires if it is not paid.
	PayBy time.Time `json:"pay_by,omitzero"`
	// Holds is the stock that is reserved for the order.
	Holds []Hold `json:"holds,omitempty"`
	// Payments are those that came, oldest first.
	Payments []Payment `json:"payments,omitempty"`
	// History is how the order got where it stands, oldest first: one entry for
	// each state that it has been in, and for what happened besides.
	History []Change `json:"history"`
}

// Hold is stock that is reserved for an order: of all its lines of one SKU, if that
// is tracked.
type Hold struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// RefundDue reports whether a payment has to be paid back.
func (o Order) RefundDue() bool {
	return slices.ContainsFunc(o.Payments, func(p Payment) bool { return p.RefundDue })
}

// Change is an order's coming to a state.
type Change struct {
	State State `json:"state"`
	// At is when it did, in UTC.
	At time.Time `json:"at"`
	// Reason is why, where that is not plain from the state.
	Reason string `json:"reason,omitempty"`
	// TaskID names the task that did it.
	TaskID string `json:"task_id,omitempty"`
}

// newOrder is the order that a placement asks for, as it stands when the task is
// accepted.
func newOrder(p Placement, taskID string, at time.Time) Order {
	// What has no price is not valid, and will be rejected.
	total, _ := Total(p.Items)
	return Order{
		ID: p.OrderID, Reference: p.Reference, CustomerID: p.CustomerID, Country: p.Country,
		Currency: p.Currency, Date: p.Date, Items: p.Items, TotalMinor: total,
		State: Placed, History: []Change{{State: Placed, At: at.UTC(), TaskID: taskID}},
	}
}

// isOf reports whether the order is what p asks for, so that placing p again is
// not a second order.
func (o Order) isOf(p Placement) bool {
	return o.ID == p.OrderID && o.Reference == p.Reference && o.CustomerID == p.CustomerID &&
		o.Country == p.Country && o.Currency == p.Currency && o.Date == p.Date &&
		slices.Equal(o.Items, p.Items)
}
