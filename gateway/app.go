package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// appConfig is for [newApp]; the zero value is good.
type appConfig struct {
	// BodyLimit is the most bytes a body may have; default 256 KiB.
	BodyLimit int
	// ReadTimeout is how long a request may take to arrive, from its first byte
	// to the last of its body; default 10 s.
	ReadTimeout time.Duration
	// IdleTimeout is how long a connection may wait for the next request;
	// default 75 s, longer than the usual 60 s of proxies.
	IdleTimeout time.Duration
	// Logger gets what is unexpected; default slog.Default().
	Logger *slog.Logger
}

// maxHead is how many bytes the URL and the headers may have together.
const maxHead = 8 << 10

// newApp returns a Fiber app without routes that answers every error with a
// problem and survives panics. Let it listen on a [lingeringListener]. There is no write timeout: it would cut streams.
// A body is in memory before its handler runs, so BodyLimit times the
// connections is what bodies can take.
func newApp(cfg appConfig) *fiber.App {
	answer := answerer{log: cmp.Or(cfg.Logger, slog.Default())}
	app := fiber.New(fiber.Config{
		AppName:                      "millrace",
		BodyLimit:                    cmp.Or(cfg.BodyLimit, 256<<10),
		ReadTimeout:                  cmp.Or(cfg.ReadTimeout, 10*time.Second),
		IdleTimeout:                  cmp.Or(cfg.IdleTimeout, 75*time.Second),
		ReadBufferSize:               maxHead,
		Immutable:                    true,
		CaseSensitive:                true,
		StrictRouting:                true,
		DisablePreParseMultipartForm: true, // it would unpack forms, to disk, before any handler
		DisableStartupMessage:        true,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			answer.problem(c.Method()+" "+c.Path(), err).write(c.Context())
			return nil
		},
	})
	server := app.Server()
	server.Handler = guard(server.Handler, answer)
	server.ExpectHandler = expect(server)
	server.ErrorHandler = refuse(server.ErrorHandler)
	return app
}

// guard keeps a panic from ending the process. It is around Fiber, not inside,
// so that it also covers what Fiber does.
func guard(next fasthttp.RequestHandler, answer answerer) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if value := recover(); value != nil {
				ctx.Response.Reset()
				answer.panicked(string(ctx.Method())+" "+string(ctx.Path()), value, debug.Stack()).write(ctx)
			}
		}()
		if !isMethod(ctx) {
			// Fiber would answer in plain text. No route takes TRACE, so this gets
			// what any method gets that the path does not take: 404, or 405 with Allow.
			ctx.Request.Header.SetMethod(http.MethodTrace)
		}
		next(ctx)
	}
}

func isMethod(ctx *fasthttp.RequestCtx) bool {
	switch string(ctx.Method()) {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return true
	}
	return false
}

// expect answers "Expect: 100-continue" before the body is sent: a client that
// asks is spared sending one that is too large.
func expect(server *fasthttp.Server) func(*fasthttp.RequestCtx) int {
	return func(ctx *fasthttp.RequestCtx) int {
		if ctx.Request.Header.ContentLength() <= server.MaxRequestBodySize {
			return http.StatusContinue
		}
		leaveUnread(ctx.Conn())
		serverProblem(http.StatusRequestEntityTooLarge, nil).write(ctx)
		return http.StatusRequestEntityTooLarge
	}
}

// refuse is around Fiber's handler for requests that could not be read to the
// end. Of one that was too slow nothing more is awaited.
func refuse(next func(*fasthttp.RequestCtx, error)) func(*fasthttp.RequestCtx, error) {
	return func(ctx *fasthttp.RequestCtx, err error) {
		if slow, ok := errors.AsType[net.Error](err); !ok || !slow.Timeout() {
			leaveUnread(ctx.Conn())
		}
		next(ctx, err)
	}
}

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
	huma   huma.API
	answer answerer
}

// newAPI puts an API on app, with its description at /openapi.json and its
// pages at /docs.
func newAPI(app *fiber.App, cfg apiConfig) *api {
	answer := answerer{log: cmp.Or(cfg.Logger, slog.Default())}
	h := huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "Millrace", Version: cfg.Version},
			Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName)},
		},
		Formats:                      map[string]huma.Format{mediaJSON: jsonFormat(), mediaProblem: jsonFormat()},
		DefaultFormat:                mediaJSON,
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{answer.transform},
	}, &adapter{app: app, base: cfg.Base})
	mountDocs(app, h.OpenAPI())
	return &api{huma: h, answer: answer}
}

// schemaName gives huma's error types the names that RFC 9457 readers expect.
func schemaName(t reflect.Type, hint string) string {
	switch t {
	case reflect.TypeFor[huma.ErrorModel]():
		return "Problem"
	case reflect.TypeFor[huma.ErrorDetail]():
		return "Violation"
	default:
		return huma.DefaultSchemaNamer(t, hint)
	}
}
