package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"millrace"
	"millrace/orders"
)

// apiConfig is for [newAPI].
type apiConfig struct {
	// Version is shown in the description.
	Version string
	// Base is the context that handlers get: it ends when the gateway stops.
	// Required.
	Base context.Context
	// Logger gets what is unexpected; default slog.Default().
	Logger *slog.Logger
}

// api is where operations are registered, see [register].
type api struct {
	huma    huma.API
	answer  answerer
	adapter *adapter
}

// newAPI puts an API on app, with its description at /openapi.json and its
// pages at /docs.
func newAPI(app *fiber.App, cfg apiConfig) *api {
	answer := answerer{log: cmp.Or(cfg.Logger, slog.Default())}
	on := &adapter{app: app, base: cfg.Base}
	h := huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "Millrace", Version: cfg.Version, Description: describedProblems()},
			Components: &huma.Components{Schemas: huma.NewMapRegistry(schemaPrefix, schemaName), SecuritySchemes: securitySchemes()},
		},
		Formats:                      map[string]huma.Format{mediaJSON: jsonFormat(), mediaProblem: jsonFormat()},
		DefaultFormat:                mediaJSON,
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{answer.transform},
	}, on)
	describeProblem(h.OpenAPI().Components.Schemas)
	mountDocs(app, h.OpenAPI())
	return &api{huma: h, answer: answer, adapter: on}
}

// describeProblem adds to the description of an error what a [problem] has besides.
func describeProblem(schemas huma.Registry) {
	name := strings.TrimPrefix(schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "").Ref, schemaPrefix)
	schemas.Map()[name].Properties["count"] = &huma.Schema{
		Type: huma.TypeInteger, Description: "How many there are, if that is not as many as were confirmed.",
	}
	schemas.Map()[name].Properties["state"] = &huma.Schema{
		Type: huma.TypeString, Description: "The state of the task, if it is finished and so cannot be cancelled, or not dead; or of the order, if that is why it is not possible.",
		Enum: []any{
			string(millrace.Pending), string(millrace.Scheduled), string(millrace.Running), string(millrace.Retrying),
			string(millrace.Succeeded), string(millrace.Failed),
			string(orders.Placed), string(orders.AwaitingPayment), string(orders.Paid), string(orders.Fulfilled),
			string(orders.Rejected), string(orders.Cancelled), string(orders.Expired),
		},
	}
}

const schemaPrefix = "#/components/schemas/"

// register adds an operation. What its input does not describe is refused; its
// handler may return any error, see rules.go for what becomes of it.
//
// A field of the body that takes any JSON is a json.RawMessage: it is not looked
// into and not changed by a byte, whereas an any would round large numbers.
func register[I, O any](a *api, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	where := op.Method + " " + op.Path
	a.secure(&op)
	huma.Register(&operation{API: a.huma}, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.answer.problemIn(ctx, where, err)
		}
		return out, nil
	})
}

// jsonBody describes the body of an operation that reads it itself.
func (a *api) jsonBody(t reflect.Type) *huma.RequestBody {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(t, true, "")
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{mediaJSON: {Schema: schema}}}
}

// schemaName gives huma's error types the names that readers of RFC 9457 expect.
func schemaName(t reflect.Type, hint string) string {
	switch t {
	case reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[*huma.ErrorModel]():
		return "Problem"
	case reflect.TypeFor[huma.ErrorDetail](), reflect.TypeFor[*huma.ErrorDetail]():
		return "Violation"
	default:
		return huma.DefaultSchemaNamer(t, hint)
	}
}
