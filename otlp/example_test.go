package otlp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"millrace"
	"millrace/otlp"
)

// An exporter runs beside what is done, and is told to end after it, so that it sends the
// rest. A worker of one's own takes it as Spans in its processor.Config, and records the
// attempts itself.
func Example() {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL.Path)
	}))
	defer collector.Close()

	cfg, err := otlp.FromEnvironment([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_SERVICE_NAME=shop"}) // or os.Environ()
	if err != nil {
		fmt.Println(err)
		return
	}
	spans, err := otlp.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- spans.Run(ctx) }()

	start := time.Now()
	spans.Record(otlp.Span{Trace: millrace.NewTrace(), Name: "import prices", Kind: otlp.Producer, Start: start, End: time.Now()})

	end()
	fmt.Println(<-ended, spans.Exported(), spans.Dropped())
	// Output:
	// POST /v1/traces
	// <nil> 1 0
}
