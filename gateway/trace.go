package gateway

import (
	"context"

	"github.com/valyala/fasthttp"

	"millrace"
)

// traced is ctx where the trace stands in which a request is made; each has a place of
// its own below it.
func traced(ctx context.Context, header *fasthttp.RequestHeader) context.Context {
	parent := header.Peek("traceparent")
	if len(parent) == 0 {
		return ctx
	}
	return millrace.WithTrace(ctx, millrace.ParseTrace(string(parent), string(header.Peek("tracestate"))).Child())
}
