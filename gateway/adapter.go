package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"millrace"
	"millrace/otlp"
)

// adapter lets huma's operations run on Fiber 2.
type adapter struct {
	app  *fiber.App
	base context.Context // ends when the gateway stops
	seen []*requestCount // of each route
	door *door           // nil: everybody may come in
	// spans takes those of requests, nil for none; scheme is "http" or "https".
	spans  *otlp.Exporter
	scheme string
}

// Handle adds op's route. What huma sees of the request has a media type and an
// encoding that we take (see checkContent).
func (a *adapter) Handle(op *huma.Operation, serve func(huma.Context)) {
	// The server has read and bounded the body before any handler runs. huma's
	// own bounds come on top: a reader around the reader, a deadline that would
	// replace the server's, and a limit that refuses a body of exactly its size.
	if op.MaxBodyBytes >= int64(a.app.Config().BodyLimit) {
		op.MaxBodyBytes = -1
	}
	op.BodyReadTimeout = -1

	var media []string // that its body may have
	if op.RequestBody != nil {
		media = slices.Sorted(maps.Keys(op.RequestBody.Content))
	}
	seen := &requestCount{method: op.Method, route: op.Path}
	a.seen = append(a.seen, seen)
	handle := func(c *fiber.Ctx) error {
		if err := checkContent(&c.Context().Request, media); err != nil {
			return err
		}
		if op.Metadata[signed] != true {
			if err := checkOrigin(&c.Context().Request); err != nil {
				return err
			}
		}
		x := &exchange{op: op, fiber: c, http: c.Context(), ctx: traced(a.base, c.Context())}
		serve(x)
		x.fiber, x.http = nil, nil // whoever still holds x must not see the next request
		return nil
	}
	handle = seen.counted(a.recorded(op, a.behindDoor(op, handle)))
	path := fiberPath(op.Path)
	a.app.Add(op.Method, path, handle)
	if op.Method == http.MethodGet {
		a.app.Add(http.MethodHead, path, handle)
	}
}

// behindDoor lets in who may, and has it written down what changes something.
func (a *adapter) behindDoor(op *huma.Operation, handle fiber.Handler) fiber.Handler {
	d := a.door
	if d == nil {
		return handle
	}
	scope := scopeOf(d.table, op.Method, op.Path)
	audited := changes(scope, op.Method)
	return func(c *fiber.Ctx) error {
		v, err := d.let(c, scope)
		if err == nil {
			defer d.leave(v)
			c.Context().SetUserValue(seen, v)
			err = handle(c)
		}
		if audited || err != nil && scope == millrace.ScopeAdmin { // to look is no deed, but to be kept from it is told
			status := c.Response().StatusCode()
			if err != nil {
				status = problemOf(err).Status
			}
			d.audit.note(a.base, c, v, op.OperationID, status)
		}
		return err
	}
}

// ServeHTTP is for huma's test helpers, which we do not use: a request comes in
// through Fiber.
func (a *adapter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "served by Fiber only", http.StatusNotImplemented)
}

// fiberPath turns huma's {name} into Fiber's :name, and takes the special
// meaning from the characters that only Fiber gives one.
func fiberPath(path string) string {
	return strings.NewReplacer(
		"{", ":", "}", "", ":", `\:`, "*", `\*`, "+", `\+`, "?", `\?`,
	).Replace(path)
}

// exchange is one request and its response, as huma sees them: a huma.Context.
// It is good until the handler returns and panics after that. The strings it
// hands out are copies and stay good: fasthttp reuses what it reads into.
type exchange struct {
	op    *huma.Operation
	fiber *fiber.Ctx
	http  *fasthttp.RequestCtx
	ctx   context.Context
	body  bodyReader
}

// Context ends when the gateway stops, and is safe to keep. It does not end when
// the client leaves: fasthttp reads nothing from a connection while a handler
// runs on it, so nobody would know. Whoever waits must bound the wait.
// (fasthttp's own context belongs to the next request once the handler returns.)
func (x *exchange) Context() context.Context { return x.ctx }

// WithContext is how huma.WithContext and huma.WithValue replace the context.
func (x *exchange) WithContext(ctx context.Context) huma.Context {
	return &contextualExchange{exchange: x, ctx: ctx}
}

func (x *exchange) Operation() *huma.Operation { return x.op }

func (x *exchange) Method() string { return string(x.http.Method()) }

func (x *exchange) Host() string { return string(x.http.Host()) }

func (x *exchange) RemoteAddr() string { return x.http.RemoteAddr().String() }

func (x *exchange) TLS() *tls.ConnectionState { return x.http.TLSConnectionState() }

func (x *exchange) Version() huma.ProtoVersion {
	proto := string(x.http.Request.Header.Protocol())
	major, minor, _ := http.ParseHTTPVersion(proto)
	return huma.ProtoVersion{Proto: proto, ProtoMajor: major, ProtoMinor: minor}
}

// URL has the path and the query. A path with a broken escape stays as it came.
func (x *exchange) URL() url.URL {
	uri := x.http.URI()
	u := url.URL{RawQuery: string(uri.QueryString()), RawPath: string(uri.PathOriginal())}
	path, err := url.PathUnescape(u.RawPath)
	if err != nil {
		path = u.RawPath
	}
	u.Path = path
	return u
}

// Param returns a part of the path with its escapes undone.
func (x *exchange) Param(name string) string {
	raw := strings.Clone(x.fiber.Params(name))
	if value, err := url.PathUnescape(raw); err == nil {
		return value
	}
	return raw
}

func (x *exchange) Query(name string) string {
	return string(x.http.QueryArgs().Peek(name))
}

// Header returns a header of the request. Accept is always empty: there is one
// format to choose from, and huma 2.39.0 panics on some values ("a;q,").
func (x *exchange) Header(name string) string {
	switch name {
	case fiber.HeaderAccept:
		return ""
	case fiber.HeaderContentType:
		if value := x.http.Request.Header.ContentType(); !isMedia(value, mediaJSON) {
			return string(value)
		}
		return mediaJSON // in the one spelling that huma knows
	default:
		return string(x.http.Request.Header.Peek(name))
	}
}

func (x *exchange) EachHeader(visit func(name, value string)) {
	for name, value := range x.http.Request.Header.All() {
		visit(string(name), string(value))
	}
}

// BodyReader reads the body as it came: Fiber's Body would inflate it.
func (x *exchange) BodyReader() io.Reader {
	x.body.rest = x.http.Request.Body()
	return &x.body
}

func (x *exchange) GetMultipartForm() (*multipart.Form, error) {
	return nil, errors.New("forms are not taken")
}

// SetReadDeadline does nothing: the body has been read.
func (x *exchange) SetReadDeadline(time.Time) error { return nil }

func (x *exchange) SetStatus(code int) { x.http.SetStatusCode(code) }

func (x *exchange) Status() int { return x.http.Response.StatusCode() }

func (x *exchange) SetHeader(name, value string) { x.http.Response.Header.Set(name, value) }

func (x *exchange) AppendHeader(name, value string) { x.http.Response.Header.Add(name, value) }

func (x *exchange) BodyWriter() io.Writer { return x.http }

// takeOver sends the head of the answer as it stands now, and hands the connection to
// serve, in a goroutine of its own: nothing is kept for it, and what was read on the
// way here can be used for other requests. The body ends when the connection does. It
// is not taken over for HEAD, which wants the head only. Serve is told who asked.
func (x *exchange) takeOver(serve func(net.Conn, *visitor)) (taken bool) {
	header := &x.http.Response.Header
	header.SetContentLength(-2) // no length, and Connection: close
	if x.http.IsHead() {
		return false
	}
	head := bytes.Clone(header.Header())
	who, _ := x.http.UserValue(seen).(*visitor)
	conn := x.http.Conn()            // what Hijack gives is another's once serve returns
	x.http.HijackSetNoResponse(true) // fasthttp would say that there is no body
	x.http.Hijack(func(net.Conn) {
		_, _ = conn.Write(head) // if that fails, so will what follows
		serve(conn, who)
	})
	return true
}

// contextualExchange is an exchange with another context.
type contextualExchange struct {
	*exchange
	ctx context.Context
}

func (x *contextualExchange) Context() context.Context { return x.ctx }

// bodyReader lets io.Copy write the whole body at once. It is part of its
// exchange and costs no allocation.
type bodyReader struct{ rest []byte }

func (r *bodyReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *bodyReader) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.rest)
	r.rest = r.rest[n:]
	return int64(n), err
}
