package gateway

import (
	"net/http"
	"testing"

	"github.com/valyala/fasthttp"
)

// BenchmarkSubmit is one POST from Fiber's door to the handler and back, without
// the network.
func BenchmarkSubmit(b *testing.B) {
	app, a := sampleAPI(b)
	registerSample(a, acceptSample)
	app.Handler() // builds the routes
	serve := app.Server().Handler

	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod(http.MethodPost)
	ctx.Request.SetRequestURI("/v1/tasks")
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.Header.Set("Accept", "*/*")
	ctx.Request.SetBodyString(sampleTask)
	b.SetBytes(int64(len(sampleTask)))
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		serve(&ctx)
		if ctx.Response.StatusCode() != http.StatusAccepted {
			b.Fatalf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
		}
	}
}

func BenchmarkStrictJSON(b *testing.B) {
	b.SetBytes(int64(len(sampleTask)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readJSON(sampleTask, jsonView{}); err != nil {
			b.Fatal(err)
		}
	}
}
