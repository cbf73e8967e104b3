package millrace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"strings"
)

// Trace is a place in a distributed trace, as W3C Trace Context spells it. The zero
// value is none.
type Trace struct {
	// Parent is the traceparent: version, trace, span and flags, as in
	// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".
	Parent string `json:"parent"`
	// State is the tracestate, which is handed on as it is.
	State string `json:"state,omitzero"`
}

// maxTraceState is how long a tracestate may be: as long as the standard asks that one
// is handed on at least.
const maxTraceState = 512

// ParseTrace reads the headers traceparent and tracestate. What is not well-formed is no
// trace, and a tracestate that is too long is left out: neither is worth refusing a
// request for.
func ParseTrace(traceparent, tracestate string) Trace {
	t := Trace{Parent: strings.TrimSpace(traceparent), State: strings.TrimSpace(tracestate)}
	if !t.valid() {
		return Trace{}
	}
	t.Parent = "00" + t.Parent[2:55] // of a later version we hand on what we know
	if len(t.State) > maxTraceState || strings.ContainsFunc(t.State, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.State = ""
	}
	return t
}

func (t Trace) valid() bool {
	p := t.Parent
	if len(p) < 55 || p[2] != '-' || p[35] != '-' || p[52] != '-' {
		return false
	}
	if len(p) > 55 && (p[:2] == "00" || p[55] != '-') {
		return false
	}
	for _, part := range []string{p[:2], p[3:35], p[36:52], p[53:55]} {
		if strings.Trim(part, "0123456789abcdef") != "" {
			return false
		}
	}
	return p[:2] != "ff" && strings.Trim(p[3:35], "0") != "" && strings.Trim(p[36:52], "0") != ""
}

// TraceID names the trace; it is empty if there is none.
func (t Trace) TraceID() string {
	if !t.valid() {
		return ""
	}
	return t.Parent[3:35]
}

// SpanID names the place in the trace; it is empty if there is none.
func (t Trace) SpanID() string {
	if !t.valid() {
		return ""
	}
	return t.Parent[36:52]
}

// Child is a new place in the same trace, below t. That of none is none.
func (t Trace) Child() Trace {
	if !t.valid() {
		return Trace{}
	}
	var span [8]byte
	_, _ = rand.Read(span[:]) // it never fails
	span[0] |= 1              // nothing but zeros would be none
	t.Parent = t.Parent[:36] + hex.EncodeToString(span[:]) + t.Parent[52:]
	return t
}

type traceKey struct{}

// WithTrace returns a context in which t is where the trace stands: what is submitted
// with it goes on from there. With none it is ctx itself.
func WithTrace(ctx context.Context, t Trace) context.Context {
	if !t.valid() {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceOf is where the trace of a context stands. In a handler that is a place of this
// attempt's own, below whoever submitted its task; hand it on to other systems as the
// headers traceparent and tracestate.
func TraceOf(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}

type taskIDKey struct{}

// WithTaskID returns a context that is a task's, for [LogHandler].
func WithTaskID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, taskIDKey{}, id)
}

// LogHandler adds to what is logged with a context, as by [slog.InfoContext], what that
// is about: trace_id, span_id and task, as
// far as there are any.
func LogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	trace := TraceOf(ctx)
	id, isTask := ctx.Value(taskIDKey{}).(string)
	if trace.valid() || isTask {
		r = r.Clone()
	}
	if trace.valid() {
		r.AddAttrs(slog.String("trace_id", trace.TraceID()), slog.String("span_id", trace.SpanID()))
	}
	if isTask {
		r.AddAttrs(slog.String("task", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}
