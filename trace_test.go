package millrace_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"millrace"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

func TestParseTrace(t *testing.T) {
	got := millrace.ParseTrace(" "+traceparent+" ", "vendor=1,other=2")
	if got.Parent != traceparent || got.State != "vendor=1,other=2" || got.TraceID() != traceID || got.SpanID() != "00f067aa0ba902b7" {
		t.Errorf("it is %+v", got)
	}
	if later := millrace.ParseTrace("cc"+traceparent[2:]+"-more", ""); later.Parent != traceparent {
		t.Errorf("of a later version it is %+v", later)
	}
	if long := millrace.ParseTrace(traceparent, strings.Repeat("a", 513)); long.State != "" || long.Parent != traceparent {
		t.Errorf("with a long state it is %+v", long)
	}
	for _, wrong := range []string{
		"", "00", traceparent[:54], traceparent + "-more", traceparent + "x", "ff" + traceparent[2:], strings.ToUpper(traceparent),
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "00-" + traceID + "-0000000000000000-01", strings.ReplaceAll(traceparent, "-", "_"),
	} {
		if got := millrace.ParseTrace(wrong, "vendor=1"); got != (millrace.Trace{}) {
			t.Errorf("%q is %+v", wrong, got)
		}
	}
}

func TestTraceChild(t *testing.T) {
	parent := millrace.ParseTrace(traceparent, "vendor=1")
	one, other := parent.Child(), parent.Child()
	if one.TraceID() != traceID || one.State != "vendor=1" || !strings.HasSuffix(one.Parent, "-01") {
		t.Errorf("the child is %+v", one)
	}
	if one.SpanID() == parent.SpanID() || one.SpanID() == other.SpanID() {
		t.Errorf("the places are %s, %s and %s", parent.SpanID(), one.SpanID(), other.SpanID())
	}
	if none := (millrace.Trace{Parent: "made by hand"}).Child(); none != (millrace.Trace{}) {
		t.Errorf("of none it is %+v", none)
	}
}

func TestLogHandler(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(millrace.LogHandler(slog.NewJSONHandler(&text, nil))).With("role", "worker")
	ctx := millrace.WithTrace(context.Background(), millrace.ParseTrace(traceparent, ""))
	log.InfoContext(millrace.WithTaskID(ctx, "mail-1"), "sent")
	var said map[string]any
	if err := json.Unmarshal(text.Bytes(), &said); err != nil {
		t.Fatal(err)
	}
	if said["trace_id"] != traceID || said["span_id"] != "00f067aa0ba902b7" || said["task"] != "mail-1" || said["role"] != "worker" {
		t.Errorf("it says %s", &text)
	}
	text.Reset()
	log.InfoContext(millrace.WithTrace(context.Background(), millrace.Trace{}), "nothing more")
	if strings.Contains(text.String(), "trace_id") || strings.Contains(text.String(), "task") {
		t.Errorf("it says %s", &text)
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add(traceparent, "vendor=1")
	f.Fuzz(func(t *testing.T, parent, state string) {
		got := millrace.ParseTrace(parent, state)
		if again := millrace.ParseTrace(got.Parent, got.State); again != got {
			t.Errorf("%+v is read as %+v", got, again)
		}
		if (got.TraceID() == "") != (got == millrace.Trace{}) {
			t.Errorf("%+v is a trace, or none", got)
		}
	})
}
