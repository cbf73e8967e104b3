package gateway

import (
	"bytes"
	"mime"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

const mediaJSON = "application/json"

// checkContent refuses, as a *problem with status 415, a body that is encoded
// (gzip and the like: a small one can inflate to any size) and, where a body is
// expected, one that is not declared to be JSON.
//
// Without a Content-Type it is refused too. A web page may send such a request
// to any address without asking first (CORS), so taking it would let every
// site that a browser visits submit tasks to a gateway on the same machine.
func checkContent(req *fasthttp.Request, wantsBody bool) error {
	if encoding := req.Header.Peek(fiber.HeaderContentEncoding); len(encoding) > 0 && !isIdentity(encoding) {
		p := newProblem(http.StatusUnsupportedMediaType, "Send the body as it is, without Content-Encoding.")
		p.header = http.Header{fiber.HeaderAcceptEncoding: {"identity"}}
		return p
	}
	if wantsBody && len(req.Body()) > 0 && !isJSON(req.Header.ContentType()) {
		p := newProblem(http.StatusUnsupportedMediaType, "Send JSON, with the header Content-Type: "+mediaJSON+".")
		p.header = http.Header{fiber.HeaderAccept: {mediaJSON}}
		return p
	}
	return nil
}

func isIdentity(encoding []byte) bool {
	return strings.EqualFold(string(encoding), "identity")
}

// isJSON is true for application/json in UTF-8. Other types that end in +json
// have a meaning of their own, which we would ignore.
func isJSON(contentType []byte) bool {
	if bytes.Equal(contentType, []byte(mediaJSON)) {
		return true
	}
	media, params, err := mime.ParseMediaType(string(contentType))
	charset := params["charset"]
	return err == nil && media == mediaJSON && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
