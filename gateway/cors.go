package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// origins lets the pages of some other origins use the API, which takes a key and no
// cookie: so all that a browser sends of itself is of no use to them. And it sees to the
// headers that keep browsers from doing what they should not, on every answer.
type origins struct{ allowed []string }

// crossed is a header that a request gets here when it comes from an origin that may. One
// that it came with is removed.
const crossed = "X-Millrace-Crossed"

func (o *origins) around(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		ctx.Request.Header.Del(crossed)
		if len(o.allowed) == 0 || !o.cross(ctx) {
			next(ctx)
		}
		h := &ctx.Response.Header
		setUnless(h, fiber.HeaderXContentTypeOptions, "nosniff")
		setUnless(h, fiber.HeaderXFrameOptions, "DENY")
		setUnless(h, fiber.HeaderReferrerPolicy, "same-origin")
	}
}

func setUnless(h *fasthttp.ResponseHeader, name, value string) {
	if len(h.Peek(name)) == 0 {
		h.Set(name, value)
	}
}

// cross lets a page's request to the API cross over, or answers what its browser asks
// first.
func (o *origins) cross(ctx *fasthttp.RequestCtx) (answered bool) {
	origin := string(ctx.Request.Header.Peek(fiber.HeaderOrigin))
	if !strings.HasPrefix(string(ctx.Path()), "/v1/") {
		return false
	}
	h := &ctx.Response.Header
	h.Add(fiber.HeaderVary, fiber.HeaderOrigin)
	if !slices.Contains(o.allowed, origin) {
		return false
	}
	h.Set(fiber.HeaderAccessControlAllowOrigin, origin)
	h.Set(fiber.HeaderAccessControlExposeHeaders, "ETag, Location, Retry-After, RateLimit, RateLimit-Policy")
	ctx.Request.Header.Set(crossed, "1")
	if string(ctx.Method()) != http.MethodOptions || len(ctx.Request.Header.Peek(fiber.HeaderAccessControlRequestMethod)) == 0 {
		return false
	}
	h.Set(fiber.HeaderAccessControlAllowMethods, "GET, HEAD, POST, PUT, PATCH, DELETE")
	h.Set(fiber.HeaderAccessControlAllowHeaders, "Authorization, X-API-Key, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID")
	h.Set(fiber.HeaderAccessControlMaxAge, "600")
	ctx.SetStatusCode(http.StatusNoContent)
	return true
}
