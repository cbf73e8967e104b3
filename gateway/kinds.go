package gateway

import (
	"context"
	"time"
)

type kindInput struct {
	Kind string `path:"kind" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$"`
}

type kindView struct {
	Kind   string     `json:"kind"`
	Paused *time.Time `json:"paused,omitempty" doc:"Since when no worker runs its tasks; missing if they do."`
}

type kindOutput struct{ Body kindView }

type listKindsOutput struct {
	Body struct {
		Kinds []kindView `json:"kinds"`
	}
}

func (g *Gateway) listKinds(context.Context, *struct{}) (*listKindsOutput, error) {
	out := &listKindsOutput{}
	out.Body.Kinds = []kindView{}
	for _, k := range g.store.PausedKinds() {
		out.Body.Kinds = append(out.Body.Kinds, kindView{k.Kind, present(k.Since)})
	}
	return out, nil
}

func (g *Gateway) kind(kind string, done error) (*kindOutput, error) {
	if done != nil {
		return nil, done
	}
	return &kindOutput{kindView{kind, present(g.store.Control().Get().Kind(kind).Paused)}}, nil
}

func (g *Gateway) pauseKind(ctx context.Context, in *kindInput) (*kindOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return g.kind(in.Kind, g.store.PauseKind(ctx, in.Kind))
}

func (g *Gateway) resumeKind(ctx context.Context, in *kindInput) (*kindOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return g.kind(in.Kind, g.store.ResumeKind(ctx, in.Kind))
}
