package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

// A stand-in for the API: the shapes of a submission, and nothing behind it.

const sampleTask = `{"kind":"order.placed","queue":"critical","max_attempts":4,"tags":["web","eu"],"args":{"order_id":"0197f2b1-8c5e-7c3a-9d7a-3f6f0a1b2c3d","customer":{"id":17850,"country":"United Kingdom"},"total_minor":12345,"currency":"GBP","items":[{"sku":"85123A","quantity":6,"unit_price":2.55},{"sku":"71053","quantity":6,"unit_price":3.39}]}}`

type sampleInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"255"`
	Body sampleBody
}

type sampleBody struct {
	Kind        string          `json:"kind" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$"`
	Args        json.RawMessage `json:"args,omitempty"`
	Queue       string          `json:"queue,omitempty" maxLength:"64"`
	MaxAttempts int             `json:"max_attempts,omitempty" minimum:"1" maximum:"1000"`
	Backoff     *sampleBackoff  `json:"backoff,omitempty"`
	Tags        []string        `json:"tags,omitempty" maxItems:"16"`
}

type sampleBackoff struct {
	Policy string  `json:"policy" enum:"fixed,exponential,list"`
	Jitter float64 `json:"jitter,omitempty" minimum:"0" maximum:"1"`
}

type sampleOutput struct {
	Location string `header:"Location"`
	Body     sampleAnswer
}

type sampleAnswer struct {
	ID   string          `json:"id"`
	Args json.RawMessage `json:"args,omitempty"`
}

// sampleAPI is an API without operations.
func sampleAPI(t testing.TB) (*fiber.App, *api) {
	t.Helper()
	app := newApp(appConfig{})
	return app, newAPI(app, apiConfig{Version: "test", Base: t.Context()})
}

func registerSample(a *api, handle func(context.Context, *sampleInput) (*sampleOutput, error)) {
	register(a, huma.Operation{
		OperationID: "submit", Method: http.MethodPost, Path: "/v1/tasks", DefaultStatus: http.StatusAccepted,
	}, handle)
}

func acceptSample(_ context.Context, in *sampleInput) (*sampleOutput, error) {
	return &sampleOutput{Location: "/v1/tasks/0197f2b1", Body: sampleAnswer{ID: "0197f2b1"}}, nil
}
