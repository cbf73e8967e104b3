package otlp_test

import (
	"context"
	"os"

	"millrace/otlp"
	"millrace/processor"
	"millrace/streams"
)

// A worker of one's own exports the spans of its attempts, to where OpenTelemetry's
// variables say. The exporter is told to end when the worker has, so that it sends the rest.
func Example() {
	work := func(ctx context.Context, store *streams.Store) error {
		cfg, err := otlp.FromEnvironment(os.Environ())
		if err != nil || cfg.URL == "" {
			return err
		}
		spans, err := otlp.New(cfg)
		if err != nil {
			return err
		}
		exporting, end := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go func() { ended <- spans.Run(exporting) }()
		defer func() { end(); <-ended }()

		p := processor.New(store, processor.Config{Spans: spans})
		// processor.Handle(p, "mail.send", send, processor.Kind{})
		return p.Run(ctx)
	}
	_ = work
}
