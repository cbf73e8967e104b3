package otlp

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// The JSON of ExportTraceServiceRequest: ids in hexadecimal, 64 bit integers as strings,
// enums as numbers (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

type wireRequest struct {
	ResourceSpans []wireResourceSpans `json:"resourceSpans"`
}

type wireResourceSpans struct {
	Resource   wireResource     `json:"resource"`
	ScopeSpans []wireScopeSpans `json:"scopeSpans"`
}

type wireResource struct {
	Attributes []wireAttr `json:"attributes"`
}

type wireScopeSpans struct {
	Scope wireScope  `json:"scope"`
	Spans []wireSpan `json:"spans"`
}

type wireScope struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type wireSpan struct {
	TraceID      string     `json:"traceId"`
	SpanID       string     `json:"spanId"`
	TraceState   string     `json:"traceState,omitempty"`
	ParentSpanID string     `json:"parentSpanId,omitempty"`
	Flags        uint32     `json:"flags"`
	Name         string     `json:"name"`
	Kind         Kind       `json:"kind"`
	Start        string     `json:"startTimeUnixNano"`
	End          string     `json:"endTimeUnixNano"`
	Attributes   []wireAttr `json:"attributes,omitempty"`
	Status       wireStatus `json:"status"`
}

type wireStatus struct {
	Message string `json:"message,omitempty"`
	Code    int    `json:"code,omitempty"`
}

type wireAttr struct {
	Key   string    `json:"key"`
	Value wireValue `json:"value"`
}

type wireValue struct {
	Text   *string `json:"stringValue,omitempty"`
	Number string  `json:"intValue,omitempty"`
}

const (
	statusError = 2
	// Besides the flags of W3C a span says whether its parent is of another process.
	// Each of ours is.
	parentKnown    = 0x100
	parentIsRemote = 0x200
)

// encoder writes requests, which all have the same head.
type encoder struct {
	resource wireResource
	scope    wireScope
}

func newEncoder(c Config) encoder {
	attrs := append([]Attr{
		Text("service.name", c.Service), Text("service.version", c.Version), Text("service.instance.id", c.Instance),
		Text("telemetry.sdk.name", "millrace"), Text("telemetry.sdk.language", "go"), Text("telemetry.sdk.version", c.Version),
	}, c.Resource...)
	return encoder{wireResource{wireAttrs(attrs)}, wireScope{"millrace", c.Version}}
}

func (e encoder) encode(spans []Span) ([]byte, error) {
	out := make([]wireSpan, len(spans))
	for i, s := range spans {
		out[i] = s.wire()
	}
	body, err := json.Marshal(wireRequest{[]wireResourceSpans{{e.resource, []wireScopeSpans{{e.scope, out}}}}})
	if err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	return body, nil
}

func (s Span) wire() wireSpan {
	w := wireSpan{
		TraceID: s.Trace.TraceID(), SpanID: s.Trace.SpanID(), TraceState: s.Trace.State, ParentSpanID: s.Parent,
		Flags: parentKnown | 1, Name: s.Name, Kind: s.Kind, Start: nanos(s.Start.UnixNano()), End: nanos(max(s.Start.UnixNano(), s.End.UnixNano())),
		Attributes: wireAttrs(s.Attrs),
	}
	if s.Parent != "" {
		w.Flags |= parentIsRemote
	}
	if s.Failed {
		w.Status = wireStatus{s.Reason, statusError}
	}
	return w
}

func nanos(n int64) string { return strconv.FormatInt(n, 10) }

func wireAttrs(attrs []Attr) []wireAttr {
	out := make([]wireAttr, len(attrs))
	for i, a := range attrs {
		out[i].Key = a.key
		if a.isNumber {
			out[i].Value.Number = strconv.FormatInt(a.number, 10)
		} else {
			out[i].Value.Text = &attrs[i].text
		}
	}
	return out
}
