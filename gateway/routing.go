package gateway

import (
	"context"
	"errors"

	"millrace"
)

type routeBody struct {
	Kinds string `json:"kinds" minLength:"1" maxLength:"200" doc:"A glob over the whole kind, where * matches any run of characters, dots included." example:"mail.*"`
	Queue string `json:"queue" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" example:"bulk"`
}

type putRoutesInput struct {
	Body struct {
		Routes []routeBody `json:"routes" nullable:"false" maxItems:"1000" doc:"The first that matches a kind counts; what none matches goes to the queue default."`
	}
}

type routesOutput struct {
	Body struct {
		Routes []routeBody `json:"routes"`
		Source string      `json:"source" enum:"api,configuration" doc:"Where they come from: set here, for all processes, or this process's configuration."`
	}
}

func (g *Gateway) getRoutes(context.Context, *struct{}) (*routesOutput, error) {
	return g.routesNow(nil)
}

func (g *Gateway) routesNow(done error) (*routesOutput, error) {
	if done != nil {
		return nil, done
	}
	out := &routesOutput{}
	routes, set := g.store.Routes()
	out.Body.Source = "configuration"
	if set {
		out.Body.Source = "api"
	}
	out.Body.Routes = make([]routeBody, len(routes))
	for i, r := range routes {
		out.Body.Routes[i] = routeBody(r)
	}
	return out, nil
}

func (g *Gateway) putRoutes(ctx context.Context, in *putRoutesInput) (*routesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	routes := make([]millrace.Route, len(in.Body.Routes))
	for i, r := range in.Body.Routes {
		routes[i] = millrace.Route(r)
	}
	err := g.store.SetRoutes(ctx, routes)
	if errors.Is(err, millrace.ErrInvalid) {
		return nil, refusedFor("body.routes", err)
	}
	return g.routesNow(err)
}

func (g *Gateway) deleteRoutes(ctx context.Context, _ *struct{}) (*routesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return g.routesNow(g.store.ClearRoutes(ctx))
}
