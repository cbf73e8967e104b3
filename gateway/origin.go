package gateway

import (
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// signed is true in the Metadata of an operation whose requests are signed: a page
// from elsewhere has no secret to do that with, so it matters not who sent it.
const signed = "signed"

// checkOrigin refuses, as a *problem with status 403, what a page from elsewhere
// lets a browser send. A request that changes something and has no body needs no
// Content-Type, so [checkContent] would not stop it. Only browsers send these
// headers.
func checkOrigin(req *fasthttp.Request) error {
	if req.Header.Peek(crossed) != nil {
		return nil
	}
	site, origin := req.Header.Peek("Sec-Fetch-Site"), req.Header.Peek(fiber.HeaderOrigin)
	if len(site) == 0 && len(origin) == 0 {
		return nil
	}
	var protection http.CrossOriginProtection
	err := protection.Check(&http.Request{
		Method: string(req.Header.Method()), Host: string(req.Host()),
		Header: http.Header{"Sec-Fetch-Site": {string(site)}, "Origin": {string(origin)}},
	})
	if err != nil {
		return newProblem(http.StatusForbidden, "A page from another origin may not do this.")
	}
	return nil
}
