package otlp

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"millrace"
	"millrace/otlp"
)

// TestProtocol reads a request as strictly as protobuf's JSON is: a member that the protocol
// does not have, or a value of another type, is an error. Ids are the exception: OTLP has
// them in hexadecimal, which protojson takes for base64.
func TestProtocol(t *testing.T) {
	begin := time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC)
	parent := millrace.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1")
	child := parent.Child()
	request, resent := export(t, otlp.Span{
		Trace: child, Parent: parent.SpanID(), Name: "process mail.send \xff", Kind: otlp.Consumer, Start: begin, End: begin.Add(time.Second),
		Attrs: []otlp.Attr{otlp.Text("text", "a"), otlp.Text("empty", ""), otlp.Number("number", -1<<63), otlp.Number("zero", 0)}, Failed: true, Reason: "why",
	}, otlp.Span{Trace: parent, Name: "send mail.send", Kind: otlp.Producer, Start: begin, End: begin})
	if resent {
		t.Error("the answer was not understood")
	}
	if len(request.GetResourceSpans()) != 1 || len(request.GetResourceSpans()[0].GetScopeSpans()) != 1 {
		t.Fatal(request)
	}
	from := request.GetResourceSpans()[0]
	wantText(t, from.GetResource().GetAttributes(), "service.name", "shop")
	wantText(t, from.GetResource().GetAttributes(), "service.version", "dev")
	wantText(t, from.GetResource().GetAttributes(), "telemetry.sdk.language", "go")
	spans := from.GetScopeSpans()[0].GetSpans()
	if len(spans) != 2 || from.GetScopeSpans()[0].GetScope().GetName() != "millrace" {
		t.Fatal(from)
	}
	s, root := spans[0], spans[1]
	if hexOf(s.GetTraceId()) != child.TraceID() || hexOf(s.GetSpanId()) != child.SpanID() || hexOf(s.GetParentSpanId()) != parent.SpanID() || s.GetTraceState() != "vendor=1" {
		t.Errorf("it is at %v", s)
	}
	const remote = tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK | tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
	if s.GetFlags() != uint32(remote)|1 || root.GetFlags()&uint32(remote) != uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK) {
		t.Errorf("flags %x, %x", s.GetFlags(), root.GetFlags())
	}
	if s.GetKind() != tracepb.Span_SPAN_KIND_CONSUMER || root.GetKind() != tracepb.Span_SPAN_KIND_PRODUCER || s.GetName() != "process mail.send \ufffd" {
		t.Errorf("%v, %v", s, root)
	}
	if s.GetStartTimeUnixNano() != uint64(begin.UnixNano()) || s.GetEndTimeUnixNano() != uint64(begin.Add(time.Second).UnixNano()) {
		t.Errorf("from %d to %d", s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano())
	}
	if s.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || s.GetStatus().GetMessage() != "why" || root.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Errorf("%v, %v", s.GetStatus(), root.GetStatus())
	}
	wantText(t, s.GetAttributes(), "text", "a")
	wantText(t, s.GetAttributes(), "empty", "")
	for i, want := range map[int]int64{2: -1 << 63, 3: 0} {
		if v, ok := s.GetAttributes()[i].GetValue().GetValue().(*commonpb.AnyValue_IntValue); !ok || v.IntValue != want {
			t.Errorf("attribute %v", s.GetAttributes()[i])
		}
	}
	if len(root.GetParentSpanId()) != 0 || len(root.GetAttributes()) != 0 {
		t.Errorf("%v", root)
	}
}

// hexOf is the text that protojson has taken for base64.
func hexOf(id []byte) string { return base64.StdEncoding.EncodeToString(id) }

func wantText(t *testing.T, all []*commonpb.KeyValue, key, want string) {
	t.Helper()
	for _, a := range all {
		if a.GetKey() == key {
			if v, ok := a.GetValue().GetValue().(*commonpb.AnyValue_StringValue); !ok || v.StringValue != want {
				t.Errorf("%v, want %q", a, want)
			}
			return
		}
	}
	t.Errorf("there is no %s", key)
}

// export returns what arrives at a collector that answers as the protocol has it, and
// whether it arrives again.
func export(t *testing.T, spans ...otlp.Span) (request *collectorpb.ExportTraceServiceRequest, resent bool) {
	t.Helper()
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		resent = request != nil
		request = new(collectorpb.ExportTraceServiceRequest)
		if err := protojson.Unmarshal(body, request); err != nil {
			t.Errorf("%v in %s", err, body)
		}
		answer, err := protojson.Marshal(&collectorpb.ExportTraceServiceResponse{
			PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "too old"},
		})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	defer collector.Close()
	url, err := otlp.TracesURL(collector.URL)
	if err != nil {
		t.Fatal(err)
	}
	e, err := otlp.New(otlp.Config{URL: url, Service: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		e.Record(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if e.Exported() != uint64(len(spans)-1) || e.Dropped() != 1 {
		t.Errorf("%d exported, %d dropped, of %d with one that was rejected", e.Exported(), e.Dropped(), len(spans))
	}
	return request, resent
}
