// Package collector is an OpenTelemetry collector for tests: it takes spans by OTLP over
// HTTP, is strict about how they are written, and can be as unwilling as a test likes.
package collector

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Span is one that was taken.
type Span struct {
	Trace, ID, Parent, State string // ids in hexadecimal; Parent is empty of a root
	Name                     string
	Kind                     int
	Start, End               time.Time
	Attrs                    map[string]any // string or int64
	Failed                   bool
	Message                  string
	Service                  string
}

// Collector takes spans. Make one with [New], or as &Collector{T: t} for use as a
// [http.RoundTripper], without a network.
type Collector struct {
	T testing.TB
	// URL is its base.
	URL string
	// Answer, if there is one, answers a request before the collector does, and reports
	// whether it has. It is set before the first request, and gets their number, from 1.
	Answer func(n int, w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	requests int
	spans    []Span
	bodies   [][]byte
}

// New starts one that ends with the test.
func New(t testing.TB) *Collector {
	c := &Collector{T: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// RoundTrip lets the collector answer without a network, as in a bubble of
// [testing/synctest].
func (c *Collector) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// ServeHTTP takes spans at /v1/traces.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requests++
	n := c.requests
	c.mu.Unlock()
	if c.Answer != nil && c.Answer(n, w, r) {
		return
	}
	if r.URL.Path != "/v1/traces" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		c.T.Errorf("%s %s of %q", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // whoever sent it has gone
	}
	spans, err := decode(body)
	if err != nil {
		c.T.Errorf("%v in %s", err, body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans, c.bodies = append(c.spans, spans...), append(c.bodies, body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}"))
}

// Requests is how many requests there were, answered or not.
func (c *Collector) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Spans are those that were taken, the oldest first.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans := slices.Clone(c.spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return spans
}

// Bodies are the requests as they came.
func (c *Collector) Bodies() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bodies)
}

// Await returns the spans once there are so many that match.
func (c *Collector) Await(n int, matches func(Span) bool) []Span {
	c.T.Helper()
	var found []Span
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		found = slices.DeleteFunc(c.Spans(), func(s Span) bool { return !matches(s) })
		if len(found) >= n {
			return found
		}
	}
	c.T.Fatalf("%d spans came, not %d: %+v; all are %+v", len(found), n, found, c.Spans())
	return nil
}

// The request, with nothing that is not in it.
type wire struct {
	ResourceSpans []struct {
		Resource struct {
			Attributes []attribute `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []struct {
			Scope struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			} `json:"scope"`
			Spans []wireSpan `json:"spans"`
		} `json:"scopeSpans"`
	} `json:"resourceSpans"`
}

type wireSpan struct {
	TraceID      string      `json:"traceId"`
	SpanID       string      `json:"spanId"`
	ParentSpanID string      `json:"parentSpanId"`
	TraceState   string      `json:"traceState"`
	Flags        uint32      `json:"flags"`
	Name         string      `json:"name"`
	Kind         int         `json:"kind"`
	Start        string      `json:"startTimeUnixNano"`
	End          string      `json:"endTimeUnixNano"`
	Attributes   []attribute `json:"attributes"`
	Status       struct {
		Message string `json:"message"`
		Code    int    `json:"code"`
	} `json:"status"`
}

type attribute struct {
	Key   string `json:"key"`
	Value struct {
		Text   *string `json:"stringValue"`
		Number *string `json:"intValue"`
	} `json:"value"`
}

func decode(body []byte) (spans []Span, err error) {
	var request wire
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&request); err != nil {
		return nil, err
	}
	for _, resource := range request.ResourceSpans {
		about, err := attributes(resource.Resource.Attributes)
		if err != nil {
			return nil, err
		}
		service, _ := about["service.name"].(string)
		for _, scope := range resource.ScopeSpans {
			for _, w := range scope.Spans {
				s, err := w.span(service)
				if err != nil {
					return nil, fmt.Errorf("%w in span %q", err, w.Name)
				}
				spans = append(spans, s)
			}
		}
	}
	return spans, nil
}

func (w wireSpan) span(service string) (Span, error) {
	s := Span{
		Trace: w.TraceID, ID: w.SpanID, Parent: w.ParentSpanID, State: w.TraceState, Name: w.Name, Kind: w.Kind,
		Failed: w.Status.Code == 2, Message: w.Status.Message, Service: service,
	}
	var errs []error
	errs = append(errs, isID(w.TraceID, 16), isID(w.SpanID, 8))
	flags := uint32(0x101) // sampled, and it is known where the parent is
	if w.ParentSpanID != "" {
		flags = 0x301 // elsewhere
		errs = append(errs, isID(w.ParentSpanID, 8))
	}
	if w.Flags != flags || w.Name == "" || service == "" || w.Status.Code != 0 && w.Status.Code != 2 {
		errs = append(errs, fmt.Errorf("flags %x, status %d, service %q", w.Flags, w.Status.Code, service))
	}
	for _, at := range []struct {
		text string
		to   *time.Time
	}{{w.Start, &s.Start}, {w.End, &s.End}} {
		n, err := strconv.ParseInt(at.text, 10, 64)
		*at.to = time.Unix(0, n)
		errs = append(errs, err)
	}
	var err error
	s.Attrs, err = attributes(w.Attributes)
	return s, errors.Join(append(errs, err)...)
}

func isID(text string, size int) error {
	if id, err := hex.DecodeString(text); err != nil || len(id) != size {
		return fmt.Errorf("%q is no id of %d bytes", text, size)
	}
	return nil
}

func attributes(all []attribute) (map[string]any, error) {
	out := map[string]any{}
	for _, a := range all {
		if _, twice := out[a.Key]; twice || a.Key == "" || (a.Value.Text == nil) == (a.Value.Number == nil) {
			return nil, fmt.Errorf("the attribute %q is wrong", a.Key)
		}
		if a.Value.Text != nil {
			out[a.Key] = *a.Value.Text
			continue
		}
		n, err := strconv.ParseInt(*a.Value.Number, 10, 64)
		if err != nil {
			return nil, err
		}
		out[a.Key] = n
	}
	return out, nil
}
