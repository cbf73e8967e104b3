package otlp

import (
	"fmt"
	"os"
	"time"

	"millrace"
)

// Span is something that was done in a trace.
type Span struct {
	// Trace is its place.
	Trace millrace.Trace
	// Parent is the [millrace.Trace.SpanID] of what it is part of, or follows from,
	// elsewhere. Empty means that the trace begins with it.
	Parent string
	// Name says what was done, in one of few ways.
	Name string
	Kind Kind
	// Start and End are when it was done.
	Start, End time.Time
	// Attrs say more. What tasks take and return is not for here.
	Attrs []Attr
	// Failed is whether it went wrong, and Reason why, for people.
	Failed bool
	Reason string
}

// Kind is which part of an exchange a span is.
type Kind int

// The kinds, by their numbers in the protocol.
const (
	Server   Kind = 2
	Producer Kind = 4
	Consumer Kind = 5
)

// Attr is something that is said of a span, or of a process: a text or a number. Make one
// with [Text] or [Number].
type Attr struct {
	key      string
	text     string
	number   int64
	isNumber bool
}

// Text is an attribute that is a text.
func Text(key, value string) Attr { return Attr{key: key, text: value} }

// Number is an attribute that is a number.
func Number(key string, value int64) Attr { return Attr{key: key, number: value, isNumber: true} }

// OfTask says of a span which task it is about, with the names that OpenTelemetry has for
// messages. The operation is "send" or "process".
func OfTask(t millrace.RawTask, operation string) []Attr {
	return []Attr{
		Text("messaging.system", "nats"),
		Text("messaging.operation.name", operation),
		Text("messaging.operation.type", operation),
		Text("messaging.destination.name", t.Queue),
		Text("messaging.message.id", t.ID),
		Text("millrace.kind", t.Kind),
	}
}

func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}
