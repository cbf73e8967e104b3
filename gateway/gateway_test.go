package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// A stand-in for the API: the shapes of a submission, without what is behind it.

type submitInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"255"`
	Body submission
}

type submission struct {
	Kind        string          `json:"kind" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$"`
	Args        json.RawMessage `json:"args,omitempty" doc:"Any JSON"`
	Queue       string          `json:"queue,omitempty" maxLength:"64"`
	MaxAttempts int             `json:"max_attempts,omitempty" minimum:"1" maximum:"1000"`
	Timeout     string          `json:"timeout,omitempty"`
	Backoff     *backoffInput   `json:"backoff,omitempty"`
	Tags        []string        `json:"tags,omitempty" maxItems:"16"`
}

type backoffInput struct {
	Policy string   `json:"policy" enum:"fixed,exponential,list"`
	Delay  string   `json:"delay,omitempty"`
	Delays []string `json:"delays,omitempty"`
	Jitter float64  `json:"jitter,omitempty" minimum:"0" maximum:"1"`
}

type submitOutput struct {
	Location string `header:"Location"`
	Body     accepted
}

type accepted struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

const sampleTask = `{"kind":"order.placed","queue":"critical","max_attempts":4,"tags":["web","eu"],"args":{"order_id":"0197f2b1-8c5e-7c3a-9d7a-3f6f0a1b2c3d","customer":{"id":17850,"country":"United Kingdom"},"total_minor":12345,"currency":"GBP","items":[{"sku":"85123A","quantity":6,"unit_price":2.55},{"sku":"71053","quantity":6,"unit_price":3.39}]}}`

func submitTo(a *api, handle func(context.Context, *submitInput) (*submitOutput, error)) {
	register(a, huma.Operation{
		OperationID: "submit-task", Method: http.MethodPost, Path: "/v1/tasks", DefaultStatus: http.StatusAccepted,
	}, handle)
}

func accept(context.Context, *submitInput) (*submitOutput, error) {
	return &submitOutput{
		Location: "/v1/tasks/0197f2b1",
		Body:     accepted{ID: "0197f2b1-8c5e-7c3a-9d7a-3f6f0a1b2c3d", State: "pending"},
	}, nil
}

func newTestAPI(t testing.TB) (*fiber.App, *api) {
	t.Helper()
	app := newApp(appConfig{})
	return app, newAPI(app, apiConfig{Version: "test", Base: t.Context()})
}

func BenchmarkSubmit(b *testing.B) {
	app, a := newTestAPI(b)
	submitTo(a, accept)
	app.Handler() // builds the routes
	serve := app.Server().Handler

	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.SetRequestURI("/v1/tasks")
	ctx.Request.Header.SetMethod(http.MethodPost)
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.Header.Set("Accept", "*/*")
	ctx.Request.Header.SetUserAgent("millrace")
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

func BenchmarkCheckJSON(b *testing.B) {
	body := []byte(sampleTask)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := checkJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTree(b *testing.B) {
	body := []byte(sampleTask)
	b.ReportAllocs()
	for b.Loop() {
		var v any
		if err := decodeJSON(body, &v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(sampleTask)
	b.ReportAllocs()
	for b.Loop() {
		var v submission
		if err := decodeJSON(body, &v); err != nil {
			b.Fatal(err)
		}
	}
}
