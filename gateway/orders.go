package gateway

import (
	"context"
	"net/http"

	"millrace/orders"
)

type placeOrderInput struct {
	Key     string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same body is done once, within a day."`
	Body    orders.Placement
	RawBody []byte
}

type placedOrderOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed" doc:"\"true\" if the Idempotency-Key was used before, and this is the first answer again."`
	Body     orders.Receipt
}

func (g *Gateway) placeOrder(ctx context.Context, in *placeOrderInput) (*placedOrderOutput, error) {
	// What is not valid claims no key: the request can be mended and sent again.
	if err := in.Body.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	receipt, replayed, err := once(ctx, g.claims, "order", in.Key, in.RawBody, func(ctx context.Context, id string, again bool) (orders.Receipt, error) {
		if err := g.admit(g.store.Route(orders.KindPlaced), again); err != nil {
			return orders.Receipt{}, err
		}
		p := in.Body
		if p.OrderID == "" {
			p.OrderID = id
		}
		return g.orders.Place(ctx, p)
	})
	if err != nil {
		return nil, err
	}
	return &placedOrderOutput{Location: "/v1/orders/" + receipt.OrderID, Replayed: replayedHeader(replayed), Body: receipt}, nil
}

type getOrderInput struct {
	ID          string `path:"id" maxLength:"57" pattern:"^[A-Za-z0-9_-]+$"`
	IfNoneMatch string `header:"If-None-Match"`
}

// orderView is an order as the API shows it.
type orderView struct {
	orders.Order
	RefundDue bool `json:"refund_due" doc:"A payment has to be paid back: see which in payments."`
}

type orderOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *orderView
}

func viewOrder(order orders.Order, version string) *orderOutput {
	return &orderOutput{Status: http.StatusOK, ETag: etag(version), Body: &orderView{order, order.RefundDue()}}
}

func (g *Gateway) getOrder(ctx context.Context, in *getOrderInput) (*orderOutput, error) {
	order, version, err := g.orders.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := viewOrder(order, version)
	if matchesETag(in.IfNoneMatch, out.ETag) {
		out.Status, out.Body = http.StatusNotModified, nil
	}
	return out, nil
}
