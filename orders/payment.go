package orders

import (
	"fmt"
	"time"

	"millrace"
)

// Payment is money that came for an order.
type Payment struct {
	// Reference is the payment provider's name of it: paying twice with the same one
	// is paying once.
	Reference string `json:"reference" doc:"The payment provider's name of the payment, 1 to 64 bytes: paying twice with the same one is paying once" example:"ch_3PqX"`
	// AmountMinor is in minor units of Currency, and both must be the order's.
	AmountMinor int64  `json:"amount_minor" doc:"The whole total of the order, in minor units" example:"850"`
	Currency    string `json:"currency" doc:"The order's currency" example:"GBP"`
	// CustomerID is whose payment it is, empty if that is not said.
	CustomerID string `json:"customer_id,omitempty" doc:"Whose payment it is, if that is known: it must be the order's customer then"`
	// At is when it was recorded.
	At time.Time `json:"at,omitzero" readOnly:"true"`
	// RefundDue says that it has to be paid back: the order was closed or paid already.
	RefundDue bool `json:"refund_due,omitempty" readOnly:"true"`
}

// MaxReferenceLen is how many bytes the reference of a payment may have, and
// maxPayments how many payments of one order are recorded.
const (
	MaxReferenceLen = 64
	maxPayments     = 100
)

// Validate returns everything that is wrong with p as [Violations], or nil.
func (p Payment) Validate() error {
	var v Violations
	switch {
	case p.Reference == "":
		v.add("body.reference", "the payment needs a reference, or it could be counted twice")
	case len(p.Reference) > MaxReferenceLen:
		v.add("body.reference", "the reference has %d bytes, and %d is the most", len(p.Reference), MaxReferenceLen)
	default:
		v.text("body.reference", p.Reference, MaxReferenceLen)
	}
	if p.AmountMinor < 1 || p.AmountMinor > MaxTotalMinor {
		v.add("body.amount_minor", "the amount must be 1 to %d minor units, not %d", int64(MaxTotalMinor), p.AmountMinor)
	}
	if !isCurrency(p.Currency) {
		v.add("body.currency", "%s is no currency: give its ISO 4217 code, three capital letters such as \"GBP\"", quote(p.Currency))
	}
	v.text("body.customer_id", p.CustomerID, MaxNameLen)
	if len(v) > 0 {
		return v
	}
	return nil
}

// isOf says whether it can be a payment of the order's customer.
func (p Payment) isOf(o Order) error {
	if p.CustomerID != "" && p.CustomerID != o.CustomerID {
		return Violations{{"body.customer_id", "the order is another customer's"}}
	}
	return nil
}

// fits says whether the payment is what the order costs, and one of not too many.
func (p Payment) fits(o Order) error {
	var v Violations
	if p.Currency != o.Currency {
		v.add("body.currency", "the order is in %s", o.Currency)
	}
	if p.AmountMinor != o.TotalMinor {
		v.add("body.amount_minor", "the order costs %d", o.TotalMinor)
	}
	if len(v) > 0 {
		return v
	}
	if len(o.Payments) >= maxPayments {
		return fmt.Errorf("%w: the order has %d payments already, which is the most that are recorded", millrace.ErrConflict, maxPayments)
	}
	return nil
}
