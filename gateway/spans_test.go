package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"millrace"
	"millrace/orders"
	"millrace/otlp"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/test/collector"
)

// tracedShop is a shop whose spans go to a collector. The kind mail.send fails once and
// then submits mail.file; mail.none fails for good, with what it got.
func tracedShop(t *testing.T) (shop, *collector.Collector) {
	t.Helper()
	c := collector.New(t)
	url, err := otlp.TracesURL(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	e, err := otlp.New(otlp.Config{URL: url, Every: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s := shop{t: t, store: newStore(t)}
	s.orders = orders.New(s.store, orders.Config{PaymentTime: 2 * time.Second})
	g, err := New(s.store, Config{Listen: "127.0.0.1:0", Orders: s.orders, Spans: e})
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + g.Addr().String()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	p := processor.New(s.store, processor.Config{Spans: e, Worker: "w"})
	soon := processor.Kind{Backoff: &millrace.Backoff{Policy: "fixed", Delay: millrace.Duration(time.Millisecond)}}
	processor.Handle(p, "mail.send", func(ctx context.Context, task millrace.Task[json.RawMessage]) (any, error) {
		if task.Attempt == 1 {
			return nil, errors.New("busy")
		}
		return "sent to nobody", s.store.Submit(ctx, millrace.RawTask{ID: task.ID + "-after", Kind: "mail.file", SubmittedAt: time.Now()})
	}, soon)
	processor.Handle(p, "mail.file", func(context.Context, millrace.Task[json.RawMessage]) (any, error) { return nil, nil }, soon)
	processor.Handle(p, "mail.none", func(context.Context, millrace.Task[int8]) (any, error) { return nil, nil }, soon)
	processor.Handle(p, "mail.panic", func(context.Context, millrace.Task[any]) (any, error) { panic("at the disco") }, processor.Kind{MaxAttempts: 1})
	processor.Handle(p, "mail.slow", func(ctx context.Context, _ millrace.Task[any]) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, processor.Kind{MaxAttempts: 1, Timeout: time.Millisecond})
	processor.Handle(p, "mail.long", func(ctx context.Context, task millrace.Task[any]) (any, error) {
		_, err := s.store.Cancel(ctx, task.ID)
		<-ctx.Done()
		return nil, errors.Join(err, ctx.Err())
	}, soon)
	processor.Handle(p, "mail.snooze", func(_ context.Context, task millrace.Task[any]) (any, error) {
		return nil, millrace.Snooze(time.Hour)
	}, soon)
	processor.Handle(p, "mail.later", func(_ context.Context, task millrace.Task[any]) (any, error) {
		return nil, millrace.Permanent(errors.New("no"))
	}, soon)
	s.orders.Register(p)
	s.run(e.Run) // it ends after the others
	s.run(g.Run)
	s.run(p.Run)
	s.run(scheduler.New(s.store, scheduler.Config{Spans: e}).Run)
	return s, c
}

func ofTrace(trace string) func(collector.Span) bool {
	return func(s collector.Span) bool { return s.Trace == trace }
}

// wantTree wants the spans of a request, of two attempts, and of what follows.
func wantTree(t *testing.T, spans []collector.Span, id, root string) {
	t.Helper()
	if len(spans) != 4 {
		t.Fatalf("%d spans: %+v", len(spans), spans)
	}
	request, first, second, after := spans[0], spans[1], spans[2], spans[3]
	if request.Kind != 2 || request.Parent != root || request.Failed || request.Attrs["http.request.method"] != "POST" {
		t.Errorf("the request: %+v", request)
	}
	for i, attempt := range []collector.Span{first, second} {
		if attempt.Kind != 5 || attempt.Name != "process mail.send" || attempt.Parent != request.ID || attempt.Failed != (i == 0) {
			t.Errorf("attempt %d: %+v", i+1, attempt)
		}
		for name, want := range map[string]any{
			"messaging.system": "nats", "messaging.destination.name": "default", "messaging.operation.name": "process", "messaging.operation.type": "process",
			"messaging.message.id": id, "millrace.kind": "mail.send", "millrace.attempt": int64(i + 1), "millrace.worker": "w",
			"millrace.outcome": []string{"retrying", "succeeded"}[i],
		} {
			if attempt.Attrs[name] != want {
				t.Errorf("attempt %d: %s is %v, want %v", i+1, name, attempt.Attrs[name], want)
			}
		}
	}
	if first.Message != "busy" || first.Attrs["error.type"] != "_OTHER" || second.Attrs["error.type"] != nil {
		t.Errorf("%+v, %+v", first, second)
	}
	if after.Kind != 5 || after.Name != "process mail.file" || after.Parent != second.ID || after.Attrs["messaging.message.id"] != id+"-after" || after.Attrs["millrace.attempt"] != int64(1) {
		t.Errorf("what follows: %+v", after)
	}
}

// A request, the attempts at its task, and what the second one submits, are one tree, with
// a caller above it and without.
func TestSpans(t *testing.T) {
	s, c := tracedShop(t)
	secret := `{"kind": "mail.send", "args": {"password": "hunter2"}}`
	_, answer := s.ask(202, "POST", "/v1/tasks", secret, "traceparent", callersPlace, "tracestate", "vendor=1")
	spans := c.Await(4, ofTrace(callersTrace))
	wantTree(t, spans, answer["id"].(string), "00f067aa0ba902b7")
	request := spans[0]
	if request.Name != "POST /v1/tasks" || request.Attrs["http.route"] != "/v1/tasks" || request.Attrs["url.path"] != "/v1/tasks" || request.Attrs["url.scheme"] != "http" ||
		request.Attrs["http.response.status_code"] != int64(202) || request.State != "vendor=1" {
		t.Errorf("%+v", request)
	}

	_, answer = s.ask(202, "POST", "/v1/tasks", strings.Replace(secret, "{", `{"delay": "1s", `, 1))
	id := answer["id"].(string)
	ofTask := func(s collector.Span) bool {
		of, _ := s.Attrs["messaging.message.id"].(string)
		return strings.HasPrefix(of, id)
	}
	trace := c.Await(3, ofTask)[0].Trace
	wantTree(t, c.Await(4, ofTrace(trace)), id, "")

	// Lines of a bulk submission are below their request.
	resp, _ := ask(t, "POST", s.url+"/v1/tasks/bulk", `{"kind": "mail.file", "id": "line-1"}`+"\n"+`{"kind": "mail.file", "id": "line-2"}`+"\n", "Content-Type", mediaLines)
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	lines := c.Await(2, func(s collector.Span) bool {
		of, _ := s.Attrs["messaging.message.id"].(string)
		return strings.HasPrefix(of, "line-")
	})
	bulk := c.Await(1, func(s collector.Span) bool { return s.Name == "POST /v1/tasks/bulk" })[0]
	if lines[0].Parent != bulk.ID || lines[1].Parent != bulk.ID || lines[0].Trace != bulk.Trace || lines[1].Trace != bulk.Trace {
		t.Errorf("%+v are not below %+v", lines, bulk)
	}

	for _, body := range c.Bodies() {
		for _, payload := range []string{"hunter2", "sent to nobody"} {
			if strings.Contains(string(body), payload) {
				t.Errorf("%s is in a span: %s", payload, body)
			}
		}
	}
}

// How an attempt failed is one of few words, and for people a text, without what the task
// was given.
func TestSpansOfFailures(t *testing.T) {
	s, c := tracedShop(t)
	for _, want := range []struct{ kind, args, state, errorType, message string }{
		{"mail.none", `7777777`, "failed", "permanent", "the args do not decode"},
		{"mail.panic", `1`, "failed", "panic", "panic: at the disco"},
		{"mail.slow", `1`, "failed", "timeout", "timed out after 1ms: context deadline exceeded"},
		{"mail.later", `1`, "failed", "permanent", "no"},
		{"mail.long", `1`, "cancelled", "taken", "context canceled"},
	} {
		s.ask(202, "POST", "/v1/tasks", `{"kind": "`+want.kind+`", "args": `+want.args+`}`)
		got := c.Await(1, func(s collector.Span) bool { return s.Attrs["millrace.kind"] == want.kind })[0]
		if !got.Failed || got.Attrs["millrace.outcome"] != want.state || got.Attrs["error.type"] != want.errorType || got.Message != want.message {
			t.Errorf("%s: %+v", want.kind, got)
		}
	}
	s.ask(202, "POST", "/v1/tasks", `{"kind": "mail.snooze"}`)
	snoozed := c.Await(1, func(s collector.Span) bool { return s.Attrs["millrace.kind"] == "mail.snooze" })[0]
	if snoozed.Failed || snoozed.Attrs["millrace.outcome"] != "scheduled" || snoozed.Attrs["error.type"] != nil {
		t.Errorf("%+v", snoozed)
	}
	for _, body := range c.Bodies() {
		if strings.Contains(string(body), "7777777") {
			t.Errorf("args are in a span: %s", body)
		}
	}
}

// What is not sampled, or only asks, has no span, and what is refused has one.
func TestSpansOfRequests(t *testing.T) {
	s, c := tracedShop(t)
	unsampled := strings.TrimSuffix(callersPlace, "01") + "00"
	_, answer := s.ask(202, "POST", "/v1/tasks", `{"kind": "mail.file"}`, "traceparent", unsampled)
	path := "/v1/tasks/" + answer["id"].(string)
	s.ask(200, "GET", path+"?wait=20s", "")
	s.ask(200, "GET", path, "", "traceparent", callersPlace)
	s.ask(422, "POST", "/v1/tasks", `{"kind": "No"}`)
	s.ask(404, "DELETE", "/v1/tasks/none", "")
	spans := c.Await(3, func(s collector.Span) bool { return s.Kind == 2 })
	// On a connection on which others were recorded it is no otherwise.
	_, answer = s.ask(202, "POST", "/v1/tasks", `{"kind": "mail.file"}`, "traceparent", unsampled)
	task, err := s.store.Task(t.Context(), "mail.file", answer["id"].(string))
	if err != nil || task.Trace.TraceID() != callersTrace || task.Trace.Sampled() || task.Trace.SpanID() == "00f067aa0ba902b7" {
		t.Errorf("%+v, %v", task.Trace, err)
	}
	s.ask(200, "GET", "/v1/tasks/"+task.ID+"?wait=20s", "")
	for i, want := range []struct {
		name   string
		status int64
	}{{"GET /v1/tasks/{id}", 200}, {"POST /v1/tasks", 422}, {"DELETE /v1/tasks/{id}", 404}} {
		if got := spans[i]; got.Name != want.name || got.Attrs["http.response.status_code"] != want.status || got.Failed {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if all := c.Spans(); len(all) != 3 {
		t.Errorf("%d spans: %+v", len(all), all)
	}
}

// A request that fails has a span that says so, whichever way it fails.
func TestSpansOfFailedRequests(t *testing.T) {
	for _, handle := range []fiber.Handler{
		func(*fiber.Ctx) error { panic("at the disco") },
		func(*fiber.Ctx) error { return errors.New("no") },
	} {
		c := &collector.Collector{T: t}
		e, err := otlp.New(otlp.Config{URL: "http://collector.example/v1/traces", Transport: c})
		if err != nil {
			t.Fatal(err)
		}
		app := newApp(appConfig{Logger: slog.New(slog.DiscardHandler)})
		app.Post("/broken", (&adapter{spans: e, scheme: "https"}).recorded(&huma.Operation{Method: "POST", Path: "/broken"}, handle))
		app.Handler() // builds the routes
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, nil, nil)
		ctx.Request.Header.SetMethod(http.MethodPost)
		ctx.Request.SetRequestURI("/broken")
		app.Server().Handler(&ctx)
		over, end := context.WithCancel(t.Context())
		end()
		if err := e.Run(over); err != nil {
			t.Fatal(err)
		}
		all := c.Spans()
		if ctx.Response.StatusCode() != 500 || len(all) != 1 || !all[0].Failed || all[0].Attrs["error.type"] != "500" ||
			all[0].Attrs["http.response.status_code"] != int64(500) || all[0].Attrs["url.scheme"] != "https" || all[0].Message != "" {
			t.Errorf("%d, %+v", ctx.Response.StatusCode(), all)
		}
	}
}

// A trace begins with each task of a schedule, and what follows is part of it.
func TestSpansOfSchedule(t *testing.T) {
	s, c := tracedShop(t)
	s.ask(201, "POST", "/v1/schedules", `{"name": "mail", "kind": "mail.send", "every": "1s"}`)
	fired := c.Await(2, func(s collector.Span) bool { return s.Kind == 4 })
	for _, f := range fired {
		if f.Name != "send mail.send" || f.Parent != "" || f.Attrs["millrace.schedule"] != "mail" || f.Attrs["messaging.destination.name"] != "default" || f.Attrs["messaging.operation.type"] != "send" {
			t.Errorf("%+v", f)
		}
		id := f.Attrs["messaging.message.id"].(string)
		spans := c.Await(4, ofTrace(f.Trace))
		for i, parent := range []string{f.ID, f.ID, spans[2].ID} {
			if got := spans[i+1]; got.Parent != parent || got.Kind != 5 || !strings.HasPrefix(got.Attrs["messaging.message.id"].(string), id) {
				t.Errorf("%d: %+v", i+1, got)
			}
		}
		task, err := s.store.Task(t.Context(), "mail.send", id)
		if err != nil || task.Trace.TraceID() != f.Trace {
			t.Errorf("%+v, %v", task.Trace, err)
		}
	}
	if fired[0].Trace == fired[1].Trace {
		t.Error("two due times are of one trace")
	}
}

// Who submits without a request, and of no trace, has the attempts in one all the same,
// and so what follows from an order that is placed so, with others.
func TestSpansOfNoRequest(t *testing.T) {
	s, c := tracedShop(t)
	if err := s.store.Submit(t.Context(), millrace.RawTask{ID: "alone", Kind: "mail.send", SubmittedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	trace := millrace.DeriveTrace("alone").TraceID()
	spans := c.Await(3, ofTrace(trace))
	if spans[0].Parent != "" || spans[1].Parent != "" || spans[2].Parent != spans[1].ID {
		t.Errorf("%+v", spans)
	}
	s.ask(202, "POST", "/v1/orders", `{"order_id":"1001","currency":"GBP","items":[{"sku":"A","quantity":1,"unit_price_minor":250}]}`)
	expired := c.Await(1, func(s collector.Span) bool { return s.Attrs["messaging.message.id"] == "1001-expire" })[0]
	all := c.Await(3, ofTrace(expired.Trace))
	if all[0].Name != "POST /v1/orders" || all[0].Parent != "" || all[1].Name != "process order.placed" || all[1].Parent != all[0].ID || expired.Parent != all[1].ID {
		t.Errorf("%+v", all)
	}
}

// BenchmarkSubmitTraced is [BenchmarkSubmit] with a span for each request.
func BenchmarkSubmitTraced(b *testing.B) {
	e, err := otlp.New(otlp.Config{URL: "http://127.0.0.1:1/v1/traces", Queue: 1})
	if err != nil {
		b.Fatal(err)
	}
	app, a := sampleAPI(b)
	a.adapter.spans, a.adapter.scheme = e, "http"
	registerSample(a, acceptSample)
	app.Handler() // builds the routes
	serve := app.Server().Handler
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod(http.MethodPost)
	ctx.Request.SetRequestURI("/v1/tasks")
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.SetBodyString(sampleTask)
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		serve(&ctx)
	}
	if e.Dropped() == 0 {
		b.Error("nothing was recorded")
	}
}
