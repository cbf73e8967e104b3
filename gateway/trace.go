package gateway

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"millrace"
	"millrace/otlp"
)

// traced is ctx where the trace stands in which a request is made; each has a place of
// its own below it.
func traced(ctx context.Context, request *fasthttp.RequestCtx) context.Context {
	if at, ok := request.UserValue(placeKey{}).(millrace.Trace); ok { // of a request that is recorded
		return millrace.WithTrace(ctx, at)
	}
	return millrace.WithTrace(ctx, callerOf(request).Child())
}

// placeKey is under what a request that is recorded has its place in the trace.
type placeKey struct{}

func callerOf(request *fasthttp.RequestCtx) millrace.Trace {
	parent := request.Request.Header.Peek("traceparent")
	if len(parent) == 0 {
		return millrace.Trace{}
	}
	return millrace.ParseTrace(string(parent), string(request.Request.Header.Peek("tracestate")))
}

// recorded is handle, with a span of each request that is of a trace, or that may change
// something: then a trace begins with it. One that only asks has none of its own, since
// dashboards and those who wait ask often.
func (a *adapter) recorded(op *huma.Operation, handle fiber.Handler) fiber.Handler {
	if a.spans == nil {
		return handle
	}
	begins := op.Method != http.MethodGet
	name := op.Method + " " + op.Path
	return func(c *fiber.Ctx) error {
		parent := callerOf(c.Context())
		at := parent.Child()
		if begins && at == (millrace.Trace{}) {
			at = millrace.NewTrace()
		}
		if !at.Sampled() {
			return handle(c)
		}
		c.Context().SetUserValue(placeKey{}, at)
		span := otlp.Span{Trace: at, Parent: parent.SpanID(), Name: name, Kind: otlp.Server, Start: time.Now(), Attrs: []otlp.Attr{
			otlp.Text("http.request.method", c.Method()), otlp.Text("http.route", op.Path),
			otlp.Text("url.path", c.Path()), otlp.Text("url.scheme", a.scheme),
		}}
		status := http.StatusInternalServerError // if it panics
		defer func() {
			c.Context().RemoveUserValue(placeKey{}) // the next request on the connection has another
			a.spans.Record(answeredWith(span, status))
		}()
		err := handle(c)
		if status = c.Response().StatusCode(); err != nil {
			status = problemOf(err).Status
		}
		return err
	}
}

// answeredWith is the span of a request that was answered so just now.
func answeredWith(span otlp.Span, status int) otlp.Span {
	span.End = time.Now()
	span.Attrs = append(span.Attrs, otlp.Number("http.response.status_code", int64(status)))
	if status >= http.StatusInternalServerError { // what is the caller's fault is no failure of ours
		span.Failed = true
		span.Attrs = append(span.Attrs, otlp.Text("error.type", strconv.Itoa(status)))
	}
	return span
}
