package gateway

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/valyala/fasthttp"

	"millrace/orders"
)

// BenchmarkSubmit is one POST from Fiber's door to the handler and back, without
// the network.
func BenchmarkSubmit(b *testing.B) {
	app, a := sampleAPI(b)
	registerSample(a, acceptSample)
	app.Handler() // builds the routes
	serve := app.Server().Handler

	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod(http.MethodPost)
	ctx.Request.SetRequestURI("/v1/tasks")
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.Header.Set("Accept", "*/*")
	ctx.Request.SetBodyString(sampleTask)
	b.SetBytes(int64(len(sampleTask)))
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		serve(&ctx)
		if ctx.Response.StatusCode() != http.StatusAccepted {
			b.Fatalf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
		}
	}
}

func BenchmarkStrictJSON(b *testing.B) {
	b.SetBytes(int64(len(sampleTask)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readJSON([]byte(sampleTask), jsonView{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadJSON is the first of the two times that a body is read: checked,
// and with what the schema looks at.
func BenchmarkReadJSON(b *testing.B) {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	for _, c := range []struct {
		name, body string
		of         reflect.Type
	}{
		{"task", sampleTask, reflect.TypeFor[taskBody]()},
		{"order", sampleOrder(100), reflect.TypeFor[orders.Placement]()},
	} {
		view := viewOf(schemas.Schema(c.of, true, ""), schemas)
		body := []byte(c.body)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readJSON(body, view); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// sampleOrder is an order with that many lines.
func sampleOrder(lines int) string {
	items := make([]string, lines)
	for i := range items {
		items[i] = fmt.Sprintf(`{"sku":"85%03dA","description":"WHITE HANGING HEART T-LIGHT HOLDER","quantity":%d,"unit_price_minor":255}`, i, i+1)
	}
	return `{"reference":"536365","customer_id":"17850","country":"United Kingdom","currency":"GBP","items":[` + strings.Join(items, ",") + `]}`
}
