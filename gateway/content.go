package gateway

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

const mediaJSON = "application/json"

// checkContent refuses, as a *problem with status 415, a body that is encoded
// (gzip and the like: a small one can inflate to any size) and, where a body is
// expected, one that is not declared to be of one of those media types: most often
// JSON.
//
// Without a Content-Type it is refused too. A web page may send such a request
// to any address without asking first (CORS), so taking it would let every
// site that a browser visits submit tasks to a gateway on the same machine.
func checkContent(req *fasthttp.Request, media []string) error {
	if encoding := req.Header.Peek(fiber.HeaderContentEncoding); len(encoding) > 0 && !isIdentity(encoding) {
		p := newProblem(http.StatusUnsupportedMediaType, "Send the body as it is, without Content-Encoding.")
		p.header = http.Header{fiber.HeaderAcceptEncoding: {"identity"}}
		return p
	}
	if len(media) > 0 && hasBody(req) && !slices.ContainsFunc(media, func(m string) bool { return isMedia(req.Header.ContentType(), m) }) {
		accept := strings.Join(media, ", ")
		p := newProblem(http.StatusUnsupportedMediaType, "Send the body with the header Content-Type: "+accept+".")
		p.header = http.Header{fiber.HeaderAccept: {accept}}
		return p
	}
	return nil
}

func isIdentity(encoding []byte) bool {
	return strings.EqualFold(string(encoding), "identity")
}

// isMedia is true for that media type in UTF-8. Others that end in +json have a
// meaning of their own, which we would ignore.
func isMedia(contentType []byte, media string) bool {
	if string(contentType) == media {
		return true
	}
	sent, params, err := mime.ParseMediaType(string(contentType))
	charset := params["charset"]
	return err == nil && sent == media && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
