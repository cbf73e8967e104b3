package millrace_test

import (
	"strings"
	"testing"

	"millrace"
)

func TestNewTrace(t *testing.T) {
	one, other := millrace.NewTrace(), millrace.NewTrace()
	if one.TraceID() == other.TraceID() || one.SpanID() == other.SpanID() {
		t.Errorf("two begin as one: %v, %v", one, other)
	}
	derived := millrace.DeriveTrace("a")
	if again := millrace.DeriveTrace("a"); again != derived {
		t.Errorf("that of one task is %v, and %v", derived, again)
	}
	if of := millrace.DeriveTrace("b"); of.TraceID() == derived.TraceID() || of.SpanID() == derived.SpanID() {
		t.Errorf("two tasks have one trace: %v", of)
	}
	for _, trace := range []millrace.Trace{one, other, derived} {
		if parsed := millrace.ParseTrace(trace.Parent, ""); parsed != trace || !trace.Sampled() {
			t.Errorf("%v is not well-formed, or not sampled", trace)
		}
	}
}

func TestSampled(t *testing.T) {
	for flags, want := range map[string]bool{"00": false, "01": true, "02": false, "03": true, "fe": false, "ff": true} {
		at := millrace.ParseTrace(strings.TrimSuffix(traceparent, "01")+flags, "")
		if at.Sampled() != want || at.Child().Sampled() != want {
			t.Errorf("flags %s: %v", flags, at.Sampled())
		}
	}
	if (millrace.Trace{}).Sampled() {
		t.Error("none is sampled")
	}
}
