package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

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
// problem and survives panics. Let it listen on a [lingeringListener].
//
// A body is in memory before its handler runs, so BodyLimit times the
// connections is what bodies can take. There is no write timeout: it would cut
// streams.
func newApp(cfg appConfig) *fiber.App {
	answer := answerer{log: cmp.Or(cfg.Logger, slog.Default())}
	bodyLimit := cmp.Or(cfg.BodyLimit, 256<<10)
	app := fiber.New(fiber.Config{
		AppName:                      "millrace",
		BodyLimit:                    bodyLimit,
		ReadTimeout:                  cmp.Or(cfg.ReadTimeout, 10*time.Second),
		IdleTimeout:                  cmp.Or(cfg.IdleTimeout, 75*time.Second),
		ReadBufferSize:               maxHead,
		Immutable:                    true,
		CaseSensitive:                true,
		StrictRouting:                true,
		DisablePreParseMultipartForm: true, // it would unpack forms, to disk, before any handler
		DisableStartupMessage:        true,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			if errors.Is(err, fiber.ErrRequestEntityTooLarge) {
				err = tooLarge(bodyLimit)
			}
			answer.problem(c.Method()+" "+c.Path(), err).write(c.Context())
			return nil
		},
	})
	server := app.Server()
	server.HeaderReceived = leaveToStream
	server.Handler = guard(streaming(server.Handler), answer)
	server.ExpectHandler = expect(bodyLimit)
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
func expect(bodyLimit int) func(*fasthttp.RequestCtx) int {
	return func(ctx *fasthttp.RequestCtx) int {
		if ctx.Request.Header.ContentLength() <= bodyLimit {
			return http.StatusContinue
		}
		leaveUnread(ctx.Conn())
		tooLarge(bodyLimit).write(ctx)
		return http.StatusRequestEntityTooLarge
	}
}

func tooLarge(bodyLimit int) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body may have %d bytes at most.", bodyLimit))
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
