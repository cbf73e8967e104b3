package gateway

import (
	"context"
	"net/http"

	"millrace/streams"
)

// Health answers /healthz and /readyz, as a [Gateway] does, and nothing else: it is for
// a process that has no API. Make one with [NewHealth], which binds its address.
type Health struct{ *server }

// NewHealth is like [New]. Then call [Health.Run].
func NewHealth(store *streams.Store, cfg Config) (*Health, error) {
	s, a, err := newServer(store, cfg, "--health-listen")
	if err != nil {
		return nil, err
	}
	s.healthRoutes(a)
	return &Health{s}, nil
}

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

func (s *server) health(context.Context, *struct{}) (*healthOutput, error) {
	return healthy(), nil
}

func (s *server) ready(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	if err := s.store.Ready(ctx); err != nil {
		return nil, err
	}
	if err := s.cfg.Ready(); err != nil {
		p := newProblem(http.StatusServiceUnavailable, clip(err.Error(), maxMessage))
		p.Type, p.Title = problemType("not-ready"), "Not ready"
		return nil, p
	}
	return healthy(), nil
}
