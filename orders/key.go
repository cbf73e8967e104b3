package orders

import "millrace"

const (
	orderPrefix   = "order."
	stockPrefix   = "stock."
	paymentPrefix = "payment."
)

// orderKey is where an order is kept in the bucket, stockKey the stock of a SKU, and
// paymentKey the order that a payment's reference is of.
func orderKey(id string) string          { return orderPrefix + id }
func stockKey(sku string) string         { return stockPrefix + millrace.EncodeToken(sku) }
func paymentKey(reference string) string { return paymentPrefix + millrace.EncodeToken(reference) }
