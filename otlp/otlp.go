// Package otlp exports spans: what was done in a trace, when, by whom and with which end.
// It speaks the OpenTelemetry protocol over HTTP, with JSON, to a collector, to Jaeger, or
// to whatever else takes it.
//
// Nobody ever waits for a collector. [Exporter.Record] puts a span into a queue that has
// an end, and drops it beyond that; [Exporter.Run] sends what is in the queue, in batches.
// A nil Exporter records nothing.
//
// Start reading at exporter.go. span.go is what a span says, encode.go how that is
// written, and environment.go what OpenTelemetry's variables set.
package otlp

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Config says where spans go. All but URL has a default.
type Config struct {
	// URL is where they are posted, as in http://127.0.0.1:4318/v1/traces; see
	// [TracesURL].
	URL string
	// Headers go with each request, such as a key.
	Headers map[string]string
	// Service is the service.name that they are of. Empty means "millrace".
	Service string
	// Version is the service.version. Empty means "dev".
	Version string
	// Instance tells this process from others of the service. Empty means host and pid.
	Instance string
	// Resource is what else is to be said of the process.
	Resource []Attr
	// Queue is how many spans may wait to be sent; what comes then is dropped. Zero
	// means 8,192.
	Queue int
	// Batch is how many go in one request. Zero means 512.
	Batch int
	// Every is how long a span waits for others at most. Zero means 1 s.
	Every time.Duration
	// Timeout bounds one request. Zero means 10 s.
	Timeout time.Duration
	// Patience is for how long a batch is sent again that a collector cannot take now;
	// then it is dropped. Zero means 1 min.
	Patience time.Duration
	// Grace is how long [Exporter.Run] may take to send the rest when it is to end.
	// Zero means 5 s.
	Grace time.Duration
	// Transport makes the requests. Nil means one as [http.DefaultTransport] is.
	Transport http.RoundTripper
	// Logger hears of what cannot be exported. Nil means silence.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Service = cmp.Or(c.Service, "millrace")
	c.Version = cmp.Or(c.Version, "dev")
	c.Instance = cmp.Or(c.Instance, instance())
	c.Queue = cmp.Or(c.Queue, 8192)
	c.Batch = cmp.Or(c.Batch, 512)
	c.Every = cmp.Or(c.Every, time.Second)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Patience = cmp.Or(c.Patience, time.Minute)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	if c.Transport == nil {
		c.Transport = http.DefaultTransport.(*http.Transport).Clone() // so that its connections can be closed
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	var errs []error
	if err := checkURL(c.URL); err != nil {
		errs = append(errs, err)
	}
	if c.Queue < 1 || c.Batch < 1 {
		errs = append(errs, fmt.Errorf("the queue and a batch must have at least 1 span, not %d and %d", c.Queue, c.Batch))
	}
	if c.Every < 0 || c.Timeout < 0 || c.Patience < 0 || c.Grace < 0 {
		errs = append(errs, errors.New("times must not be negative"))
	}
	return errors.Join(errs...)
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is no URL of a collector, as in http://127.0.0.1:4318", text)
	}
	return nil
}

// TracesURL is where a collector takes spans that has its base there: /v1/traces is
// appended, as OpenTelemetry's specification says.
func TracesURL(endpoint string) (string, error) {
	if err := checkURL(endpoint); err != nil {
		return "", fmt.Errorf("otlp: %w", err)
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("otlp: %w", err)
	}
	return u.JoinPath("v1/traces").String(), nil
}
