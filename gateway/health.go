package gateway

import (
	"context"
	"errors"
)

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
	if err := errors.Join(g.store.Ready(ctx), g.cfg.Ready()); err != nil {
		return nil, err
	}
	return healthy(), nil
}
