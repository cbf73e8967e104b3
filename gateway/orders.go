package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

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
		return nil, orderProblem(err)
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	receipt, replayed, err := once(ctx, g.claims, "order", in.Key, in.RawBody, func(ctx context.Context, id string, _ bool) (orders.Receipt, error) {
		p := in.Body
		if p.OrderID == "" {
			p.OrderID = id
		}
		return g.orders.Place(ctx, p)
	})
	if err != nil {
		return nil, orderProblem(err)
	}
	return &placedOrderOutput{Location: "/v1/orders/" + receipt.OrderID, Replayed: replayedHeader(replayed), Body: receipt}, nil
}

// orderProblem tells what is wrong with an order as huma tells what does not fit
// the schema, with a location for each violation.
func orderProblem(err error) error {
	violations, ok := errors.AsType[orders.Violations](err)
	if !ok {
		return err
	}
	p := newProblem(http.StatusUnprocessableEntity, fmt.Sprintf("This order cannot be taken, for %d reasons. See errors.", len(violations)))
	if len(violations) == 1 {
		p.Detail = "This order cannot be taken: " + violations[0].Message
	}
	p.Type, p.Title = problemType("invalid"), "Not valid"
	for _, v := range violations {
		p.Errors = append(p.Errors, &huma.ErrorDetail{Location: v.Location, Message: v.Message})
	}
	return p
}

type getOrderInput struct {
	ID          string `path:"id" maxLength:"57" pattern:"^[A-Za-z0-9_-]+$"`
	IfNoneMatch string `header:"If-None-Match"`
}

type getOrderOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *orders.Order
}

func (g *Gateway) getOrder(ctx context.Context, in *getOrderInput) (*getOrderOutput, error) {
	order, version, err := g.orders.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &getOrderOutput{Status: http.StatusOK, ETag: etag(version)}
	if matchesETag(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
		return out, nil
	}
	out.Body = &order
	return out, nil
}
