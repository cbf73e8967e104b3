package gateway

import (
	"context"
	"time"

	"millrace/orders"
)

// stockView is the stock of a SKU as the API shows it.
type stockView struct {
	SKU         string              `json:"sku"`
	OnHand      int64               `json:"on_hand" doc:"How many are in the warehouse."`
	Reserved    int64               `json:"reserved" doc:"How many of those are for orders that are not fulfilled."`
	Available   int64               `json:"available" doc:"How many can be ordered: on hand less reserved."`
	Sold        int64               `json:"sold" doc:"How many have left with orders."`
	UpdatedAt   time.Time           `json:"updated_at"`
	Adjustments []orders.Adjustment `json:"adjustments,omitempty" doc:"The last 32, oldest first."`
}

func viewStock(s orders.Stock) stockView {
	return stockView{
		SKU: s.SKU, OnHand: s.OnHand, Reserved: s.Reserved, Available: s.Available(), Sold: s.Sold,
		UpdatedAt: s.UpdatedAt, Adjustments: s.Adjustments,
	}
}

type stockOutput struct {
	ETag     string `header:"ETag"`
	Replayed string `header:"Idempotent-Replayed" doc:"\"true\" if the Idempotency-Key was used before, and this is the first answer again."`
	Body     stockView
}

type getStockInput struct {
	SKU string `path:"sku" maxLength:"64" doc:"Percent-encoded: a / is %2F."`
}

func (g *Gateway) getStock(ctx context.Context, in *getStockInput) (*stockOutput, error) {
	s, version, err := g.orders.Stock(ctx, in.SKU)
	if err != nil {
		return nil, err
	}
	return &stockOutput{ETag: etag(version), Body: viewStock(s)}, nil
}

type setStockInput struct {
	SKU     string `path:"sku" maxLength:"64" doc:"Percent-encoded: a / is %2F."`
	IfMatch string `header:"If-Match" doc:"The ETag that the stock must have still, or * if it must be tracked already."`
	Body    struct {
		OnHand int64 `json:"on_hand" minimum:"0" maximum:"1000000000000" doc:"How many were counted." example:"40"`
	}
}

func (g *Gateway) setStock(ctx context.Context, in *setStockInput) (*stockOutput, error) {
	version, err := versionIn(in.IfMatch)
	if err != nil {
		return nil, refusedFor("header.If-Match", err)
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	s, version, err := g.orders.SetStock(ctx, in.SKU, in.Body.OnHand, version)
	if err != nil {
		return nil, err
	}
	return &stockOutput{ETag: etag(version), Body: viewStock(s)}, nil
}

type adjustStockInput struct {
	SKU     string `path:"sku" maxLength:"64" doc:"Percent-encoded: a / is %2F."`
	Key     string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same body is done once, within a day. Without one, an adjustment that is sent again is another one."`
	Body    adjustmentBody
	RawBody []byte
}

type adjustmentBody struct {
	Delta  int64  `json:"delta" minimum:"-1000000000000" maximum:"1000000000000" doc:"How many came in, or went if it is negative; not 0." example:"-2"`
	Reason string `json:"reason" minLength:"1" doc:"Why, in up to 500 characters." example:"broken in transit"`
}

// adjusted is the answer to an adjustment, as it is kept under its key.
type adjusted struct {
	Stock   orders.Stock `json:"stock"`
	Version string       `json:"version"`
}

func (g *Gateway) adjustStock(ctx context.Context, in *adjustStockInput) (*stockOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	done, replayed, err := once(ctx, g.claims, "adjust "+in.SKU, in.Key, in.RawBody, func(ctx context.Context, id string, _ bool) (adjusted, error) {
		s, version, err := g.orders.AdjustStock(ctx, in.SKU, orders.Adjustment{ID: id, Delta: in.Body.Delta, Reason: in.Body.Reason})
		return adjusted{s, version}, err
	})
	if err != nil {
		return nil, err
	}
	return &stockOutput{ETag: etag(done.Version), Replayed: replayedHeader(replayed), Body: viewStock(done.Stock)}, nil
}

type listStockInput struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	After string `query:"after" maxLength:"64" doc:"Where to go on: next_cursor of the page before, or any SKU."`
}

type listStockOutput struct {
	Body struct {
		Stock      []stockView `json:"stock"`
		NextCursor string      `json:"next_cursor,omitempty" doc:"For the next page; missing on the last one."`
	}
}

func (g *Gateway) listStock(ctx context.Context, in *listStockInput) (*listStockOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	found, err := g.orders.ListStock(ctx, in.After, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &listStockOutput{}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		out.Body.NextCursor = found[in.Limit-1].SKU
	}
	out.Body.Stock = make([]stockView, len(found))
	for i, s := range found {
		out.Body.Stock[i] = viewStock(s)
	}
	return out, nil
}
