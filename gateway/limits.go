package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
)

// limitRoutes is the API of limits.
func (g *Gateway) limitRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "get-limits", Method: http.MethodGet, Path: "/v1/limits", Tags: []string{"queues"},
		Summary: "Look at the limits",
	}, g.getLimits)
	register(a, huma.Operation{
		OperationID: "put-limits", Method: http.MethodPut, Path: "/v1/limits", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Set the limits",
		Description: "All limits from now on, for all processes, whatever their configurations say. What waits for one that is wider now goes on; what runs goes on in any case. An empty list lifts all limits.",
		Errors:      []int{400, 413, 415, 422, 503},
	}, g.putLimits)
	register(a, huma.Operation{
		OperationID: "delete-limits", Method: http.MethodDelete, Path: "/v1/limits", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Go by the configurations again",
		Description: "Each process has the limits of its configuration again.",
		Errors:      []int{503},
	}, g.deleteLimits)
}

type limitBody struct {
	Scope       string `json:"scope" enum:"queue,kind,key" doc:"What it counts."`
	Match       string `json:"match" minLength:"1" maxLength:"100" doc:"A glob over the whole name, where * matches any run of characters. Each name that it matches is counted on its own." example:"mail.*"`
	Concurrency int    `json:"concurrency,omitempty" minimum:"1" maximum:"10000" doc:"How many may run at once, over all workers. Default: any number; for a key, one."`
	Rate        string `json:"rate,omitempty" minLength:"1" doc:"How many may begin in a time. Not for queues." example:"100/s"`
}

type putLimitsInput struct {
	Body struct {
		Limits []limitBody `json:"limits" nullable:"false" maxItems:"1000" doc:"The first that matches a name counts."`
	}
}

type limitsOutput struct {
	Body struct {
		Limits []limitBody `json:"limits"`
		Source string      `json:"source" enum:"api,configuration" doc:"Where they come from: set here, for all processes, or this process's configuration."`
	}
}

func (g *Gateway) getLimits(context.Context, *struct{}) (*limitsOutput, error) {
	return g.limitsNow(nil)
}

func (g *Gateway) limitsNow(done error) (*limitsOutput, error) {
	if done != nil {
		return nil, done
	}
	out := &limitsOutput{}
	limits, set := g.store.Limits()
	out.Body.Source = "configuration"
	if set {
		out.Body.Source = "api"
	}
	out.Body.Limits = make([]limitBody, len(limits))
	for i, l := range limits {
		out.Body.Limits[i] = limitBody{Scope: string(l.Scope), Match: l.Match, Concurrency: l.Concurrency}
		if !l.Rate.IsZero() {
			out.Body.Limits[i].Rate = l.Rate.String()
		}
	}
	return out, nil
}

func (g *Gateway) putLimits(ctx context.Context, in *putLimitsInput) (*limitsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	limits := make([]millrace.Limit, len(in.Body.Limits))
	for i, l := range in.Body.Limits {
		limits[i] = millrace.Limit{Scope: millrace.LimitScope(l.Scope), Match: l.Match, Concurrency: l.Concurrency}
		if l.Rate != "" {
			var err error
			if limits[i].Rate, err = millrace.ParseRate(l.Rate); err != nil {
				return nil, refusedFor(fmt.Sprintf("body.limits[%d].rate", i), err)
			}
		}
	}
	err := g.store.SetLimits(ctx, limits)
	if errors.Is(err, millrace.ErrInvalid) {
		return nil, refusedFor("body.limits", err)
	}
	return g.limitsNow(err)
}

func (g *Gateway) deleteLimits(ctx context.Context, _ *struct{}) (*limitsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return g.limitsNow(g.store.ClearLimits(ctx))
}
