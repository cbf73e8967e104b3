package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

const mediaProblem = "application/problem+json"

// answerer turns errors into answers, wherever they come up: in a handler, in
// huma, in Fiber, in fasthttp, or as a panic. What is unexpected is logged here,
// under the id that the answer shows, and nowhere else.
type answerer struct{ log *slog.Logger }

// problem returns what to answer for err. Where is the route, for the log.
func (a answerer) problem(where string, err error) *problem {
	return a.problemIn(context.Background(), where, err)
}

// problemIn is problem where the log is to say more: of what ctx is about.
func (a answerer) problemIn(ctx context.Context, where string, err error) *problem {
	p := problemOf(err)
	if p.cause != nil {
		a.log.ErrorContext(ctx, "request failed", "instance", p.Instance, "route", where, "error", p.cause)
	}
	return p
}

// panicked is problem for what recover returned.
func (a answerer) panicked(where string, value any, stack []byte) *problem {
	p := unexpected(nil)
	a.log.Error("request panicked", "instance", p.Instance, "route", where, "panic", value, "stack", string(stack))
	return p
}

// transform is the huma.Transformer that completes every problem on its way
// out. huma's own errors get here too; that is how they become ours without
// replacing huma.NewError, which is one variable for the whole process.
func (a answerer) transform(ctx huma.Context, _ string, body any) (any, error) {
	var p *problem
	switch e := body.(type) {
	case *problem:
		p = e
	case *huma.ErrorModel:
		p = a.fromHuma(ctx.Operation().Path, e)
	default:
		return body, nil
	}
	u := ctx.URL()
	p.complete(u.EscapedPath())
	for name, value := range p.fixedHeaders() {
		ctx.SetHeader(name, value)
	}
	return p, nil
}

func (a answerer) fromHuma(where string, e *huma.ErrorModel) *problem {
	switch {
	case e.Status >= http.StatusInternalServerError:
		reasons := []error{errors.New(e.Detail)}
		for _, d := range e.Errors {
			if d != nil {
				reasons = append(reasons, d)
			}
		}
		p := a.problem(where, errors.Join(reasons...))
		p.Status, p.Title = e.Status, e.Title // the status line is out of our hands
		return p
	case e.Status == http.StatusUnprocessableEntity:
		p := newProblem(e.Status, "The request does not fit what the API describes. See errors.")
		p.Type, p.Title = problemType("invalid"), "Not valid"
		p.Errors = e.Errors
		return p
	case e.Status == http.StatusBadRequest && e.Detail == "validation failed":
		p := newProblem(e.Status, "The body is not JSON as it must be. See errors.")
		p.Errors = e.Errors
		return p
	default:
		p := newProblem(e.Status, clip(e.Detail, maxMessage))
		p.Errors = e.Errors
		return p
	}
}

// complete adds where the problem came up, unless it has an id of its own, and
// tidies its violations. The path is "/" where fasthttp could not read one.
func (p *problem) complete(path string) {
	if p.Instance == "" && path != "/" && len(path) <= maxMessage {
		p.Instance = path
	}
	p.Errors = tidyViolations(p.Errors)
}

// fixedHeaders are on each answer with a problem: it is not to be cached, nor
// to be taken for anything but JSON.
func (p *problem) fixedHeaders() map[string]string {
	return map[string]string{
		fiber.HeaderCacheControl:        "no-store",
		fiber.HeaderXContentTypeOptions: "nosniff",
	}
}

// write answers with p where huma is not involved. Headers that are set already
// stay, as Allow.
func (p *problem) write(ctx *fasthttp.RequestCtx) {
	p.complete(string(ctx.URI().PathOriginal()))
	ctx.ResetBody()
	ctx.SetStatusCode(p.Status)
	ctx.SetContentType(mediaProblem)
	for name, value := range p.fixedHeaders() {
		ctx.Response.Header.Set(name, value)
	}
	for name, values := range p.GetHeaders() {
		for _, value := range values {
			ctx.Response.Header.Add(name, value)
		}
	}
	_ = encodeJSON(ctx, p) // a problem has nothing that cannot be encoded
}
