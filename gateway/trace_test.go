package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"millrace"
	"millrace/orders"
	"millrace/processor"
	"millrace/scheduler"
)

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersPlace = "00-" + callersTrace + "-00f067aa0ba902b7-01"
)

// TestTraceGoesOn follows a trace from a request over a task that fails once, and one
// that waits, to what its handler submits.
func TestTraceGoesOn(t *testing.T) {
	store := newStore(t)
	s := shop{t: t, store: store, orders: orders.New(store, orders.Config{PaymentTime: 2 * time.Second})}
	g, err := New(store, Config{Listen: "127.0.0.1:0", Orders: s.orders})
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + g.Addr().String()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	seen := make(chan millrace.Trace, 10)
	p := processor.New(store, processor.Config{})
	processor.Handle(p, "mail.send", func(ctx context.Context, task millrace.Task[json.RawMessage]) (any, error) {
		if millrace.TraceOf(ctx) != task.Trace {
			t.Errorf("the context is at %v, the task at %v", millrace.TraceOf(ctx), task.Trace)
		}
		seen <- task.Trace
		if task.Attempt == 1 {
			return nil, errors.New("busy")
		}
		return nil, store.SubmitAt(ctx, millrace.RawTask{ID: task.ID + "-after", Kind: "mail.file"}, time.Time{})
	}, processor.Kind{Backoff: &millrace.Backoff{Policy: "fixed", Delay: millrace.Duration(time.Millisecond)}})
	processor.Handle(p, "mail.file", func(ctx context.Context, _ millrace.Task[json.RawMessage]) (any, error) {
		seen <- millrace.TraceOf(ctx)
		return nil, nil
	}, processor.Kind{})
	s.orders.Register(p)
	s.run(g.Run)
	s.run(p.Run)
	s.run(scheduler.New(store, scheduler.Config{}).Run)

	for _, submit := range []struct{ path, media, body string }{
		{"/v1/tasks", mediaJSON, `{"kind": "mail.send"}`},
		{"/v1/tasks", mediaJSON, `{"kind": "mail.send", "delay": "1s"}`},
		{"/v1/tasks", mediaJSON, `{"kind": "mail.send", "unique": {"key": "mail"}}`},
		{"/v1/tasks/bulk", mediaLines, `{"kind": "mail.send"}`},
		{"/v1/tasks/bulk?atomic=true", mediaLines, `{"kind": "mail.send"}`},
	} {
		resp, answer := ask(t, "POST", s.url+submit.path, submit.body, "Content-Type", submit.media, "traceparent", callersPlace, "tracestate", "vendor=1")
		if resp.StatusCode >= 300 {
			t.Fatalf("%s: %v", submit.body, answer)
		}
		spans := map[string]bool{"00f067aa0ba902b7": true}
		for range 3 { // two attempts, and what the second one submits
			select {
			case at := <-seen:
				if at.TraceID() != callersTrace || at.State != "vendor=1" || spans[at.SpanID()] {
					t.Errorf("%s %s: it goes on at %+v", submit.path, submit.body, at)
				}
				spans[at.SpanID()] = true
			case <-time.After(20 * time.Second):
				t.Fatalf("%s %s: nothing comes of it", submit.path, submit.body)
			}
		}
	}

	// What follows from orders is of the trace in which each was placed, also if many
	// are decided on at once.
	s.ask(202, "POST", "/v1/orders", `{"order_id":"1001","currency":"GBP","items":[{"sku":"A","quantity":1,"unit_price_minor":250}]}`, "traceparent", callersPlace)
	s.ask(202, "POST", "/v1/orders", `{"order_id":"1002","currency":"GBP","items":[{"sku":"A","quantity":1,"unit_price_minor":250}]}`)
	for id, want := range map[string]string{"1001": callersTrace, "1002": ""} {
		s.ask(200, "GET", "/v1/tasks/"+id+"-placed?wait=10s", "")
		s.ask(200, "GET", "/v1/tasks/"+id+"-expire?wait=20s", "")
		expired, err := store.Task(t.Context(), orders.KindExpire, id+"-expire")
		if err != nil {
			t.Fatal(err)
		}
		if expired.Trace.TraceID() != want {
			t.Errorf("%s expires at %+v", id, expired.Trace)
		}
	}
}

// A trace that is not well-formed is none, and no reason to refuse a request.
func TestTraceOfNoForm(t *testing.T) {
	s := openShop(t, orders.Config{})
	_, answer := s.ask(202, "POST", "/v1/tasks", `{"kind": "mail.send"}`, "traceparent", "00-nonsense")
	task, err := s.store.Task(t.Context(), "mail.send", answer["id"].(string))
	if err != nil || task.Trace != (millrace.Trace{}) {
		t.Errorf("it is at %+v, %v", task.Trace, err)
	}
}
