package gateway

import "context"

type healthOutput struct {
	Body struct {
		Status string `json:"status" example:"ok"`
	}
}

func healthy() *healthOutput {
	out := &healthOutput{}
	out.Body.Status = "ok"
	return out
}

func (g *Gateway) health(context.Context, *struct{}) (*healthOutput, error) {
	return healthy(), nil
}

func (g *Gateway) ready(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	if err := g.store.Ready(ctx); err != nil {
		return nil, err
	}
	return healthy(), nil
}
