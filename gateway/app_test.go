package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"
)

// Each request here gets a problem with this status, or is accepted (202).
func TestRequestsOverTheWire(t *testing.T) {
	app, a := sampleAPI(t)
	registerSample(a, acceptSample)
	address := serveApp(t, app)
	big := `{"kind":"a","args":"` + strings.Repeat("x", 300<<10) + `"}`
	chunked := "POST /v1/tasks HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, request string
		status        int
		header        string // that the answer must have, as "Name: value"
	}{
		{"a task", postJSON("/v1/tasks", sampleTask), 202, "Location: /v1/tasks/0197f2b1"},
		{"chunks", chunked + "5\r\n{\"kin\r\n9;ext=1\r\nd\":\"a\"}\n\n\r\n0\r\n\r\n", 202, ""},
		{"charset", request("POST /v1/tasks", sampleTask, `Content-Type: Application/JSON ; charset="UTF-8"`), 202, ""},
		{"identity", postJSON("/v1/tasks", sampleTask, "Content-Encoding: identity"), 202, ""},

		{"too large", postJSON("/v1/tasks", big), 413, "Connection: close"},
		{"much too large", postJSON("/v1/tasks", strings.Repeat(big, 50)), 413, "Connection: close"},
		{"too large, asked before", postJSON("/v1/tasks", big, "Expect: 100-continue"), 413, "Connection: close"},
		{"too large in chunks", chunked + strings.Repeat("10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n", 5) + "0\r\n\r\n", 413, ""},
		{"one huge chunk", chunked + "7fffffffffffff00\r\n", 400, ""},
		{"a huge second chunk", chunked + "1\r\n{\r\n7fffffffffffffff\r\n", 400, ""},

		{"gzip", postJSON("/v1/tasks", sampleTask, "Content-Encoding: gzip"), 415, "Accept-Encoding: identity"},
		{"br", postJSON("/v1/tasks", sampleTask, "Content-Encoding: identity, br"), 415, ""},
		{"gzip on GET", request("GET /v1/tasks", "", "Content-Encoding: gzip"), 405, ""},
		{"plain text", request("POST /v1/tasks", sampleTask, "Content-Type: text/plain"), 415, "Accept: application/json"},
		{"form", request("POST /v1/tasks", "a=b", "Content-Type: application/x-www-form-urlencoded"), 415, ""},
		{"multipart", request("POST /v1/tasks", "--x\r\n", "Content-Type: multipart/form-data; boundary=x"), 415, ""},
		{"no type", request("POST /v1/tasks", sampleTask), 415, ""},
		{"+json", request("POST /v1/tasks", sampleTask, "Content-Type: application/merge-patch+json"), 415, ""},
		{"latin", request("POST /v1/tasks", sampleTask, "Content-Type: application/json; charset=latin1"), 415, ""},

		{"empty body", postJSON("/v1/tasks", ""), 400, ""},
		{"null", postJSON("/v1/tasks", "null"), 422, ""},
		{"array", postJSON("/v1/tasks", "[]"), 422, ""},
		{"not JSON", postJSON("/v1/tasks", "kind=a"), 400, ""},
		{"too deep", postJSON("/v1/tasks", `{"kind":"a","args":`+strings.Repeat("[", 200000)+`}`), 400, ""},
		{"invalid UTF-8", postJSON("/v1/tasks", "{\"kind\":\"a\xff\"}"), 400, ""},
		{"duplicate keys", postJSON("/v1/tasks", `{"kind":"a","args":{"b":1,"\u0062":2}}`), 400, ""},
		{"keys that differ in case", postJSON("/v1/tasks", `{"kind":"a","KIND":"*"}`), 422, ""},
		{"unknown query parameter", postJSON("/v1/tasks?wiat=1s", sampleTask), 422, ""},

		{"unknown route", request("GET /nope", ""), 404, "Content-Type: application/problem+json"},
		{"case of the path", request("POST /V1/tasks", ""), 404, ""},
		{"slash behind the path", request("POST /v1/tasks/", ""), 404, ""},
		{"method not taken", request("DELETE /v1/tasks", ""), 405, "Allow: POST"},
		{"unknown method", request("BREW /v1/tasks", ""), 405, "Allow: POST"},
		{"unknown method and route", request("BREW /nope", ""), 404, ""},
		{"HEAD", request("HEAD /nope", ""), 404, ""},
		{"OPTIONS", request("OPTIONS *", ""), 404, ""},
		{"CONNECT", request("CONNECT example.com:80", ""), 404, ""},
		{"URL of 5 KB", request("GET /"+strings.Repeat("a", 5<<10), ""), 404, ""},
		{"URL of 9 KB", request("GET /"+strings.Repeat("a", 9<<10), ""), 431, ""},
		{"headers of 9 KB", request("GET /", "", "X-Long: "+strings.Repeat("a", 9<<10)), 431, ""},
		{"CRLF, escaped", request("GET /v1/%0d%0aX-Evil:%20yes", ""), 404, ""},
		{"CRLF", "GET /v1/\r\nX-Evil: yes HTTP/1.1\r\n\r\n", 400, ""},
		{"CR", "GET /v1/\rX HTTP/1.1\r\nHost: test\r\n\r\n", 400, ""},
		{"NUL", "GET /v1/\x00X HTTP/1.1\r\nHost: test\r\n\r\n", 400, ""},
		{"no request line", "\x16\x03\x01\x02\x00\r\n\r\n", 400, ""},
		{"one word", "GARBAGE\r\n\r\n", 400, ""},
		{"header without colon", "GET / HTTP/1.1\r\nbad\r\n\r\n", 400, ""},
		{"negative length", "POST /v1/tasks HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400, ""},
		{"two lengths", "POST /v1/tasks HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, ""},
		{"broken chunk", chunked + "zz\r\n{}\r\n0\r\n\r\n", 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newClient(t, address).send(c.request)
			if got.StatusCode != c.status {
				t.Fatalf("%d %s", got.StatusCode, got.body)
			}
			if name, value, _ := strings.Cut(c.header, ": "); c.header != "" && got.Header.Get(name) != value && !(name == "Connection" && got.Close) {
				t.Errorf("headers are %v", got.Header)
			}
			if got.StatusCode >= 400 && got.Request.Method != http.MethodHead {
				checkProblem(t, got)
			}
			if evil := got.Header.Get("X-Evil"); evil != "" {
				t.Error("the request wrote a header of the answer")
			}
		})
	}
	if got := newClient(t, address).send(postJSON("/v1/tasks", sampleTask)); got.StatusCode != http.StatusAccepted {
		t.Errorf("after all that: %d", got.StatusCode)
	}
}

// checkProblem checks what all problems have in common.
func checkProblem(t *testing.T, got reply) {
	t.Helper()
	p := got.problem
	if got.Header.Get("Content-Type") != mediaProblem || p.Status != got.StatusCode || p.Type == "" || p.Title == "" || p.Detail == "" {
		t.Errorf("not a problem: %v %s", got.Header, got.body)
	}
	if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers are %v", got.Header)
	}
	if len(got.body) > 20<<10 {
		t.Errorf("%d bytes", len(got.body))
	}
	for _, v := range p.Errors {
		if v.Message == "" || v.Location == "" || len(v.Value) > maxValue+2 {
			t.Errorf("violation %+v", v)
		}
	}
	for _, inside := range []string{"fasthttp", "fiber", "huma", "goroutine", ".go:", "json:", "Go struct"} {
		if strings.Contains(got.body, inside) {
			t.Errorf("tells of the inside: %s", got.body)
		}
	}
}

// FuzzRequests sends whatever comes to mind: nothing may be answered with a 5xx.
func FuzzRequests(f *testing.F) {
	app, a := sampleAPI(f)
	registerSample(a, acceptSample)
	registerEcho(a, echo)
	app.Handler() // builds the routes
	for _, seed := range []string{
		postJSON("/v1/tasks", sampleTask), postJSON("/v1/tasks?x=1", `{"kind":"A","tags":null,"backoff":{"policy":1}}`, "Expect: 100-continue"),
		request("GET /v1/echo/a%2fb%?wait=1&tags=a&tags=b", "", `If-None-Match: "7"`, "Accept: a;q,"), request("HEAD /docs", ""),
		"POST /v1/tasks HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		request("BREW /openapi.json", "x", "Content-Encoding: gzip"), request("GET http://[::1]:namedport/%", ""),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		conn := &memoryConn{in: bytes.NewReader(data)}
		_ = app.Server().ServeConn(conn)
		for _, line := range regexp.MustCompile(`(?m)^HTTP/1.1 \d+`).FindAllString(conn.out.String(), -1) {
			if line >= "HTTP/1.1 500" {
				t.Errorf("%q: %s", data, conn.out.String())
			}
		}
	})
}

// memoryConn is a connection on which everything has been sent already.
type memoryConn struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *memoryConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }

func TestAConnectionOutlivesRefusedRequests(t *testing.T) {
	app, a := sampleAPI(t)
	registerSample(a, acceptSample)
	c := newClient(t, serveApp(t, app))
	for request, want := range map[string]int{
		postJSON("/v1/tasks", "{"): 400, postJSON("/v1/tasks", "{}"): 422, postJSON("/nope", "{}"): 404, request("PUT /v1/tasks", "{}"): 405,
		request("POST /v1/tasks", "{}", "Content-Encoding: gzip"): 415, postJSON("/v1/tasks", sampleTask): 202,
	} {
		if got := c.send(request); got.StatusCode != want {
			t.Errorf("%.40q: %d %s", request, got.StatusCode, got.body)
		}
	}
}

func TestAllViolationsAtOnce(t *testing.T) {
	app, a := sampleAPI(t)
	registerSample(a, acceptSample)
	body := `{"kind":"A B","queue":5,"extra":{"secret":"x"},"a.b":1,"max_attempts":0,"tags":["a",1,null],` +
		`"backoff":{"policy":"` + strings.Repeat("p", 1000) + `","jitter":9007199254740993,"foo":[1]}}`
	got := newClient(t, serveApp(t, app)).send(postJSON("/v1/tasks", body, "Idempotency-Key: "+strings.Repeat("k", 300)))
	var violations []string
	for _, v := range got.problem.Errors {
		violations = append(violations, fmt.Sprintf("%s: %s (%s)", v.Location, v.Message, v.Value))
	}
	want := []string{
		`body.a.b: unexpected property ()`,
		`body.backoff.foo: unexpected property ()`,
		`body.backoff.jitter: expected number <= 1 (9007199254740993)`,
		`body.backoff.policy: expected value to be one of "fixed, exponential, list" ("` + strings.Repeat("p", 61) + `…")`,
		`body.extra: unexpected property ()`,
		`body.kind: expected string to match pattern ^[a-z0-9_]+(\.[a-z0-9_]+){0,3}$ ("A B")`,
		`body.max_attempts: expected number >= 1 (0)`,
		`body.queue: expected string (5)`,
		`body.tags[1]: expected string (1)`,
		`body.tags[2]: expected string ()`,
		`header.Idempotency-Key: expected length <= 255 ()`,
	}
	if diff := cmp.Diff(want, violations); diff != "" {
		t.Error(diff)
	}
	if got.StatusCode != 422 || got.problem.Type != "urn:millrace:problem:invalid" || got.problem.Instance != "/v1/tasks" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestWhereABodyIsWrong(t *testing.T) {
	app, a := sampleAPI(t)
	registerSample(a, acceptSample)
	c := newClient(t, serveApp(t, app))
	for body, want := range map[string]wireViolation{
		`{"kind":"a","args":[1,{"b":1,"b":2}]}`: {Location: "body.args[1]", Message: `duplicate key "b", at byte 29`},
		`{"kind":"a","max_attempts":1.0}`:       {Location: "body.max_attempts", Message: "cannot hold the number 1.0"},
		`{"kind":"a",}`:                         {Location: "body", Message: `invalid character '}' at start of string (expecting '"'), at byte 12`},
		`"` + strings.Repeat("x", 1000) + `"`:   {Location: "body", Message: "expected object"},
	} {
		got := c.send(postJSON("/v1/tasks", body))
		if diff := cmp.Diff([]wireViolation{want}, got.problem.Errors); diff != "" {
			t.Errorf("%.60s: %s", body, diff)
		}
	}
}

func TestAnyJSONPassesThroughByteForByte(t *testing.T) {
	app, a := sampleAPI(t)
	var args []byte
	registerSample(a, func(_ context.Context, in *sampleInput) (*sampleOutput, error) {
		args = in.Body.Args
		return &sampleOutput{Body: sampleAnswer{Args: in.Body.Args}}, nil
	})
	c := newClient(t, serveApp(t, app))
	for _, want := range []string{
		`{"id":9007199254740993, "big":123456789012345678901234567890, "f":1.10, "e":1E400, "s":"\u00e9<&>😀"}`,
		`[ ]`, `"x"`, `-0`, `null`, `false`, `{"KIND":1,"kind":2}`,
	} {
		got := c.send(postJSON("/v1/tasks", `{"kind":"a","args":`+want+`}`))
		if string(args) != want {
			t.Errorf("handler got %s want %s", args, want)
		}
		var answer string
		if _, answer, _ = strings.Cut(got.body, `"args":`); got.StatusCode != 202 {
			t.Fatal(got.body)
		}
		if spaceless := strings.ReplaceAll(want, " ", ""); answer != spaceless+"}\n" {
			t.Errorf("answer has %q want %s", answer, spaceless)
		}
	}
}

func TestPanicsAndUnexpectedErrorsAre500(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	app := newApp(appConfig{Logger: logger})
	a := newAPI(app, apiConfig{Base: t.Context(), Logger: logger})
	fail := func(path string, fail func() error) {
		register(a, huma.Operation{OperationID: path[1:], Method: http.MethodPost, Path: path},
			func(context.Context, *sampleInput) (*sampleOutput, error) { return &sampleOutput{}, fail() })
	}
	fail("/error", func() error { return errors.New("dial 10.0.0.7: hush") })
	fail("/panic", func() error { panic("hush at 10.0.0.7") })
	fail("/huma", func() error { return huma.Error500InternalServerError("hush", errors.New("10.0.0.7")) })
	huma.Register(a.huma, huma.Operation{OperationID: "bare", Method: http.MethodPost, Path: "/bare"},
		func(context.Context, *struct{}) (*struct{}, error) { return nil, errors.New("hush 10.0.0.7") })
	register(a, huma.Operation{OperationID: "encode", Method: http.MethodPost, Path: "/encode"},
		func(context.Context, *struct{}) (*struct{ Body any }, error) {
			return &struct{ Body any }{func() {}}, nil
		})
	app.Post("/fiber", func(*fiber.Ctx) error { panic(errors.New("hush 10.0.0.7")) })
	app.Post("/send", func(c *fiber.Ctx) error {
		c.Set("X-Half", "done")
		_ = c.SendString("half an answer")
		return errors.New("hush")
	})
	address := serveApp(t, app)
	for _, path := range []string{"/error", "/panic", "/huma", "/bare", "/encode", "/fiber", "/send"} {
		log.Reset()
		got := newClient(t, address).send(postJSON(path, sampleTask))
		if got.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
		checkProblem(t, got)
		if strings.Contains(got.body, "hush") || strings.Contains(got.body, "10.0.0.7") {
			t.Errorf("%s leaks: %s", path, got.body)
		}
		if !regexp.MustCompile(`^urn:uuid:[0-9a-f-]{36}$`).MatchString(got.problem.Instance) {
			t.Errorf("%s: instance is %q", path, got.problem.Instance)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), got.problem.Instance) {
			t.Errorf("%s: the log has %s", path, log.String())
		}
		if slices.Contains([]string{"/panic", "/fiber", "/encode"}, path) && !strings.Contains(log.String(), "goroutine") {
			t.Errorf("%s: no stack in the log: %s", path, log.String())
		}
	}
}
