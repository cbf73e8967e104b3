package orders

import "millrace"

// Placement is what a client sends to place an order. Only Currency and Items
// must be there. The text fields are the shop's own: they are kept as they came.
type Placement struct {
	// OrderID names the order, chosen by whoever places it, so that placing it
	// again is placing it once. Empty lets [Orders.Place] choose.
	OrderID string `json:"order_id,omitempty" doc:"An id of your own, 1 to 57 letters, digits, _ and -: to place the same order again is then to place it once"`
	// Reference is the shop's own number of the order.
	Reference string `json:"reference,omitempty" doc:"Your own number of the order" example:"536365"`
	// CustomerID is empty for somebody without an account.
	CustomerID string `json:"customer_id,omitempty" doc:"Empty for a customer without an account" example:"17850"`
	Country    string `json:"country,omitempty" example:"United Kingdom"`
	// Currency is an ISO 4217 code.
	Currency string `json:"currency" doc:"An ISO 4217 code" example:"GBP"`
	// Date is whatever the shop calls the day of the order; nothing depends on it.
	Date string `json:"date,omitempty" doc:"The date as you write it" example:"1/12/2010"`
	// Items are the lines, [MaxLines] at most. A SKU may be on several.
	Items []Line `json:"items" doc:"1 to 1,000 lines; several may name the same SKU"`
}

// Line is one line of an order.
type Line struct {
	// SKU is the shop's name of the goods: any text, case and spaces matter.
	SKU         string `json:"sku" doc:"Your name of the goods" example:"85123A"`
	Description string `json:"description,omitempty" example:"WHITE HANGING HEART T-LIGHT HOLDER"`
	// Quantity is 1 to [MaxQuantity].
	Quantity int64 `json:"quantity" doc:"How many, at least 1" example:"6"`
	// UnitPriceMinor is the price of one, at least 1, in minor units of the
	// order's currency.
	UnitPriceMinor int64 `json:"unit_price_minor" doc:"The price of one in minor units (pence, cents), at least 1" example:"255"`
}

// What an order may hold.
const (
	// MaxOrderIDLen leaves room in a task's id for what is appended to an order's.
	MaxOrderIDLen = millrace.MaxIDLen - len(placedSuffix)
	// MaxLines is how many lines an order may have.
	MaxLines = 1000
	// MaxSKUs is how many different SKUs its lines may name: their stock changes
	// together with the order, and the broker changes 1,000 entries at once.
	MaxSKUs = 990
	// MaxQuantity is how much of the goods one line may order.
	MaxQuantity = 1_000_000_000
	// MaxTotalMinor is the largest total. Every integer up to it survives in the
	// double of a JavaScript program that reads our JSON (RFC 8259, section 6).
	MaxTotalMinor = 1<<53 - 1
	// MaxSKULen is in bytes: a SKU will be part of a key, which is bounded.
	MaxSKULen = 64
	// MaxTextLen is how many characters a description may have, and
	// MaxNameLen any other text.
	MaxTextLen = 500
	MaxNameLen = 100
	// MaxSize is how many bytes of JSON a placement may have. The broker takes
	// messages of 1 MiB, so this leaves ample room for what is added to an order.
	MaxSize = 512 << 10
)

// A task's id is its order's and what it is for, so that submitting it twice is
// submitting it once.
const (
	placedSuffix = "-placed"
	expireSuffix = "-expire"
	fulfilSuffix = "-fulfil"
)

func placedTaskID(orderID string) string { return orderID + placedSuffix }
func expireTaskID(orderID string) string { return orderID + expireSuffix }
func fulfilTaskID(orderID string) string { return orderID + fulfilSuffix }
