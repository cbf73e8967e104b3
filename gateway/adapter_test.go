package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"
)

type echoInput struct {
	ID    string   `path:"id"`
	Wait  string   `query:"wait"`
	Tags  []string `query:"tags,explode"`
	Match string   `header:"If-None-Match"`
}

type echoOutput struct {
	Seen []string `header:"X-Seen"`
	Body echoInput
}

func registerEcho(a *api, handle func(context.Context, *echoInput) (*echoOutput, error)) {
	register(a, huma.Operation{OperationID: "echo", Method: http.MethodGet, Path: "/v1/echo/{id}"}, handle)
}

func echo(_ context.Context, in *echoInput) (*echoOutput, error) {
	return &echoOutput{Seen: []string{"one", "two"}, Body: *in}, nil
}

func TestAdapterHandsOverARequest(t *testing.T) {
	app, a := sampleAPI(t)
	registerEcho(a, echo)
	request := httptest.NewRequest(http.MethodGet, "/v1/echo/a%2Fb%20c.d-e?wait=30s&tags=x&tags=y%26z", http.NoBody)
	request.Header.Set("If-None-Match", `"7"`)
	request.Header.Set("Accept", "a;q,") // on which huma 2.39.0 panics
	response, err := app.Test(request)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	want := `{"ID":"a/b c.d-e","Wait":"30s","Tags":["x","y&z"],"Match":"\"7\""}` + "\n"
	if string(body) != want {
		t.Errorf("got %s want %s", body, want)
	}
	if seen := response.Header.Values("X-Seen"); !slices.Equal(seen, []string{"one", "two"}) {
		t.Errorf("X-Seen is %q", seen)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	request.Method = http.MethodHead
	if response, err = app.Test(request); err != nil {
		t.Fatal(err)
	}
	if body, _ = io.ReadAll(response.Body); response.StatusCode != http.StatusOK || response.ContentLength != int64(len(want)) || len(body) > 0 {
		t.Errorf("HEAD: %s, %d bytes, %s", response.Status, response.ContentLength, body)
	}
}

// What a handler keeps of a request must not change when the next one comes in
// on the same connection, into the same buffers.
func TestWhatAHandlerKeepsStaysAsItWas(t *testing.T) {
	app, a := sampleAPI(t)
	var kept []echoInput
	registerEcho(a, func(_ context.Context, in *echoInput) (*echoOutput, error) {
		kept = append(kept, *in)
		return &echoOutput{}, nil
	})
	var bodies []sampleInput
	registerSample(a, func(_ context.Context, in *sampleInput) (*sampleOutput, error) {
		bodies = append(bodies, *in)
		return &sampleOutput{}, nil
	})
	conn := newClient(t, serveApp(t, app))
	for _, c := range []string{"a", "b", "c", "d"} {
		x := strings.Repeat(c, 30)
		conn.send(fmt.Sprintf("GET /v1/echo/%s?wait=%s&tags=%s HTTP/1.1\r\nHost: test\r\nIf-None-Match: %s\r\n\r\n", x, x, x, x))
		conn.send(postJSON("/v1/tasks", fmt.Sprintf(`{"kind":%q,"args":[%q],"tags":[%q]}`, x, x, x), "Idempotency-Key: "+x))
	}
	for i, c := range []string{"a", "b", "c", "d"} {
		x := strings.Repeat(c, 30)
		if diff := cmp.Diff(echoInput{ID: x, Wait: x, Tags: []string{x}, Match: x}, kept[i]); diff != "" {
			t.Error(diff)
		}
		want := sampleInput{Key: x, Body: sampleBody{Kind: x, Args: []byte(`["` + x + `"]`), Tags: []string{x}}}
		if diff := cmp.Diff(want, bodies[i]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestContextEndsWithTheGatewayAndNotWithTheRequest(t *testing.T) {
	base, stop := context.WithCancel(t.Context())
	app := newApp(appConfig{})
	a := newAPI(app, apiConfig{Base: base})
	var kept context.Context
	registerEcho(a, func(ctx context.Context, in *echoInput) (*echoOutput, error) {
		kept = ctx
		return echo(ctx, in)
	})
	if _, err := app.Test(httptest.NewRequest(http.MethodGet, "/v1/echo/x", http.NoBody)); err != nil {
		t.Fatal(err)
	}
	if kept.Err() != nil {
		t.Error("it ended with the request")
	}
	stop()
	if kept.Err() == nil {
		t.Error("it did not end with the gateway")
	}
}

// The rest of huma.Context, as a middleware sees it.
func TestExchange(t *testing.T) {
	app, a := sampleAPI(t)
	type key struct{}
	var kept huma.Context
	a.huma.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
		kept = ctx
		u := ctx.URL()
		got := fmt.Sprint(
			ctx.Method(), " ", ctx.Host(), " ", u.Path, "|", u.EscapedPath(), "|", u.RawQuery, " ", ctx.Version(), " ",
			ctx.Operation().OperationID, " ", ctx.Header("X-Key"), " ", ctx.TLS() == nil, " ", ctx.RemoteAddr() != "",
		)
		want := "GET test /v1/echo/a b%|/v1/echo/a%20b%25|wait=1 {HTTP/1.1 1 1} echo v true true"
		if got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		names := map[string]string{}
		ctx.EachHeader(func(name, value string) { names[name] = value })
		if diff := cmp.Diff(map[string]string{"Host": "test", "X-Key": "v"}, names); diff != "" {
			t.Error(diff)
		}
		if _, err := ctx.GetMultipartForm(); err == nil {
			t.Error("took a form")
		}
		next(huma.WithValue(ctx, key{}, "value"))
		if ctx.Status() != http.StatusOK {
			t.Errorf("status is %d", ctx.Status())
		}
	})
	registerEcho(a, func(ctx context.Context, in *echoInput) (*echoOutput, error) {
		if ctx.Value(key{}) != "value" {
			t.Error("the middleware's value is lost")
		}
		return echo(ctx, in)
	})
	newClient(t, serveApp(t, app)).send("GET /v1/echo/a%20b%25?wait=1 HTTP/1.1\r\nHost: test\r\nX-Key: v\r\n\r\n")
	defer func() {
		if recover() == nil {
			t.Error("an exchange could be used after its handler returned")
		}
	}()
	kept.Header("X-Key")
}

func TestOneExactBodyLimit(t *testing.T) {
	app := newApp(appConfig{BodyLimit: 1000})
	registerSample(newAPI(app, apiConfig{Base: t.Context()}), acceptSample)
	address := serveApp(t, app)
	for size, want := range map[int]int{1000: http.StatusAccepted, 1001: http.StatusRequestEntityTooLarge} {
		body := `{"kind":"a","args":"` + strings.Repeat("x", size-22) + `"}`
		got := newClient(t, address).send(postJSON("/v1/tasks", body))
		if got.StatusCode != want {
			t.Errorf("%d bytes: %d", len(body), got.StatusCode)
		}
		if detail := got.problem.Detail; want >= 400 && detail != "The body may have 1000 bytes at most." {
			t.Errorf("it says %q", detail)
		}
	}
}

func TestOperationMayLowerTheBodyLimit(t *testing.T) {
	app, a := sampleAPI(t)
	register(a, huma.Operation{OperationID: "small", Method: http.MethodPost, Path: "/small", MaxBodyBytes: 20}, acceptSample)
	got := newClient(t, serveApp(t, app)).send(postJSON("/small", sampleTask))
	if got.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", got.StatusCode)
	}
}

func TestFiberPath(t *testing.T) {
	app := fiber.New()
	app.Get(fiberPath("/v1/tasks/{id}:cancel/a*b+c"), func(c *fiber.Ctx) error { return c.SendString(c.Params("id")) })
	for path, want := range map[string]int{"/v1/tasks/7:cancel/a*b+c": 200, "/v1/tasks/7:cancel/aXb+c": 404, "/v1/tasks/7/a*b+c": 404} {
		response, err := app.Test(httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != want {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
}
