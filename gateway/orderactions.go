package gateway

import (
	"context"

	"millrace/orders"
)

// What is done to an order is safe to do again without an Idempotency-Key: a payment
// has its reference, and the others lead to a state in which they change nothing.

type payOrderInput struct {
	ID   string `path:"id" maxLength:"57" pattern:"^[A-Za-z0-9_-]+$"`
	Body paymentBody
}

// paymentBody is a payment as it is sent.
type paymentBody struct {
	Reference   string `json:"reference" doc:"The payment provider's name of the payment, 1 to 64 bytes: the same one again is the same payment." example:"ch_3PqX"`
	AmountMinor int64  `json:"amount_minor" doc:"The whole total of the order, in minor units." example:"1530"`
	Currency    string `json:"currency" doc:"The order's currency." example:"GBP"`
	CustomerID  string `json:"customer_id,omitempty" doc:"Whose payment it is, if that is known: it must be the order's customer then." example:"17850"`
}

func (g *Gateway) payOrder(ctx context.Context, in *payOrderInput) (*orderOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	order, version, err := g.orders.Pay(ctx, in.ID, orders.Payment{
		Reference: in.Body.Reference, AmountMinor: in.Body.AmountMinor, Currency: in.Body.Currency, CustomerID: in.Body.CustomerID,
	})
	if err != nil {
		return nil, err
	}
	return viewOrder(order, version), nil
}

type cancelOrderInput struct {
	ID   string `path:"id" maxLength:"57" pattern:"^[A-Za-z0-9_-]+$"`
	Body struct {
		Reason string `json:"reason" minLength:"1" doc:"Why, in up to 500 characters: the order's history says so." example:"changed her mind"`
	}
}

func (g *Gateway) cancelOrder(ctx context.Context, in *cancelOrderInput) (*orderOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	order, version, err := g.orders.Cancel(ctx, in.ID, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return viewOrder(order, version), nil
}

type fulfilOrderInput struct {
	ID string `path:"id" maxLength:"57" pattern:"^[A-Za-z0-9_-]+$"`
}

func (g *Gateway) fulfilOrder(ctx context.Context, in *fulfilOrderInput) (*orderOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	order, version, err := g.orders.Fulfil(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return viewOrder(order, version), nil
}
