package orders

import (
	"encoding/json"
	"fmt"
	"time"

	"millrace"
	"millrace/streams"
)

// Notice is an event of the feed: what happened to an order, the Number-th thing. It
// is written together with the order.
type Notice struct {
	OrderID string `json:"order_id"`
	// Number counts from 1, as the order's history does.
	Number int `json:"number"`
	Change
	Reference  string `json:"reference,omitempty"`
	CustomerID string `json:"customer_id,omitempty"`
	Currency   string `json:"currency"`
	TotalMinor int64  `json:"total_minor"`
	// RefundDue says that a payment of the order has to be paid back.
	RefundDue bool `json:"refund_due,omitempty"`
}

// noticeTTL is for how long events are kept. The first of an order is what finds the
// order in a list, so it stays as long as that.
const noticeTTL = 30 * 24 * time.Hour

func noticeOf(o Order, number int) (streams.Event, error) {
	n := Notice{
		OrderID: o.ID, Number: number, Change: o.History[number-1],
		Reference: o.Reference, CustomerID: o.CustomerID, Currency: o.Currency, TotalMinor: o.TotalMinor,
		RefundDue: number == len(o.History) && o.RefundDue(),
	}
	data, err := json.Marshal(n)
	if err != nil {
		return streams.Event{}, fmt.Errorf("%w: event of order %s: %w", millrace.ErrInvalid, o.ID, err)
	}
	e := streams.Event{OrderID: o.ID, Number: number, Data: data, TTL: noticeTTL}
	if number == 1 {
		e.TTL = 0
	}
	return e, nil
}
