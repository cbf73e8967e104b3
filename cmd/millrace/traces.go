package main

import (
	"cmp"
	"fmt"
	"log/slog"

	"millrace/otlp"
)

// traceFlags say where spans go. What has to do with the collector besides, such as its
// key, is in OpenTelemetry's own variables.
type traceFlags struct {
	OTLPEndpoint string `name:"otlp-endpoint" help:"Base URL of an OpenTelemetry collector that takes OTLP over HTTP, as in http://127.0.0.1:4318, to export traces to; \"off\" for none (default: $$OTEL_EXPORTER_OTLP_ENDPOINT)." placeholder:"URL"`
}

// exporter returns what exports spans, and its service; both are nil if nothing is to be
// exported.
func (f traceFlags) exporter(called invocation, log *slog.Logger) (*otlp.Exporter, service, error) {
	if f.OTLPEndpoint == "off" {
		return nil, nil, nil
	}
	cfg, err := otlp.FromEnvironment(called.env)
	if err != nil {
		return nil, nil, err
	}
	if f.OTLPEndpoint != "" {
		if cfg.URL, err = otlp.TracesURL(f.OTLPEndpoint); err != nil {
			return nil, nil, fmt.Errorf("--otlp-endpoint: %w", err)
		}
	}
	if cfg.URL == "" {
		return nil, nil, nil
	}
	cfg.Version, cfg.Logger = cmp.Or(cfg.Version, version()), log
	e, err := otlp.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	return e, e.Run, nil
}
