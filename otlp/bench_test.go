package otlp_test

import (
	"context"
	"net/http"
	"testing"

	"millrace"
	"millrace/otlp"
)

// BenchmarkRecord is what a request and an attempt pay, with an exporter and without.
func BenchmarkRecord(b *testing.B) {
	e, err := otlp.New(otlp.Config{URL: "http://127.0.0.1:1/v1/traces", Queue: 1})
	if err != nil {
		b.Fatal(err)
	}
	for name, e := range map[string]*otlp.Exporter{"none": nil, "full": e} {
		b.Run(name, func(b *testing.B) {
			s := otlp.Span{Trace: millrace.NewTrace(), Name: "a"}
			b.ReportAllocs()
			for b.Loop() {
				e.Record(s)
			}
		})
	}
}

// BenchmarkExport is what a batch of 512 spans takes beside the work, without the network.
func BenchmarkExport(b *testing.B) {
	collector := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	})
	s := span("process mail.send")
	s.Parent = s.Trace.SpanID()
	s.Attrs = append(otlp.OfTask(millrace.RawTask{ID: millrace.NewID(), Kind: "mail.send", Queue: "default"}, "process"),
		otlp.Number("millrace.attempt", 1), otlp.Text("millrace.outcome", "succeeded"))
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	b.ReportAllocs()
	for b.Loop() {
		e, err := otlp.New(otlp.Config{URL: "http://collector.example/v1/traces", Transport: collector})
		if err != nil {
			b.Fatal(err)
		}
		for range 512 {
			e.Record(s)
		}
		if err := e.Run(ctx); err != nil || e.Exported() != 512 {
			b.Fatal(e.Exported(), err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
