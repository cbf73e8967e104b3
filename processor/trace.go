package processor

import (
	"context"
	"errors"
	"time"

	"millrace"
	"millrace/otlp"
)

// placeOf is where an attempt at the task stands: below whoever submitted it. Where spans
// are exported, each task is of a trace: the attempts at one that was submitted without are
// of the trace that is its own.
func (p *Processor) placeOf(t millrace.RawTask) millrace.Trace {
	if p.cfg.Spans != nil && t.Trace == (millrace.Trace{}) {
		return millrace.DeriveTrace(t.ID).Child()
	}
	return t.Trace.Child()
}

// trace records the attempts that have just ended. The tasks are those that their handlers
// got, and cause is why their context ended.
func (p *Processor) trace(runs []*run, tasks []millrace.RawTask, cause error) {
	if p.cfg.Spans == nil {
		return
	}
	end := time.Now()
	for i, r := range runs {
		if !tasks[i].Trace.Sampled() {
			continue
		}
		span := otlp.Span{
			Trace: tasks[i].Trace, Parent: r.Task.Trace.SpanID(), Name: "process " + r.Task.Kind, Kind: otlp.Consumer,
			Start: r.attempt.StartedAt, End: end,
			Attrs: append(otlp.OfTask(r.Task, "process"), otlp.Number("millrace.attempt", int64(r.attempt.Number)), otlp.Text("millrace.worker", p.cfg.Worker)),
		}
		state := string(r.outcome.state)
		if why := taken(cause); why != "" && r.err != nil {
			state = why // its outcome is not written down
		}
		span.Attrs = append(span.Attrs, otlp.Text("millrace.outcome", state))
		if r.outcome.reason != "" {
			span.Failed, span.Reason = true, truncate(tellable(r.err, r.outcome.reason), maxTold)
			span.Attrs = append(span.Attrs, otlp.Text("error.type", typeOf(r.err, cause)))
		}
		p.cfg.Spans.Record(span)
	}
}

// maxTold is how much of an error a span says, in bytes.
const maxTold = 512

// argsError is for args that do not decode. It may quote from them.
type argsError struct{ err error }

func (e *argsError) Error() string { return "the args do not decode: " + e.err.Error() }

func (e *argsError) Unwrap() error { return e.err }

// tellable is the reason why an attempt failed without what was in the args: those are
// nobody's who looks at traces.
func tellable(err error, reason string) string {
	if _, quotes := errors.AsType[*argsError](err); quotes {
		return "the args do not decode"
	}
	return reason
}

// typeOf is the error.type, one of few.
func typeOf(err, cause error) string {
	permanent, _ := errors.AsType[*millrace.PermanentError](err)
	panicked, _ := errors.AsType[*panicError](err)
	stuck, _ := errors.AsType[*stuckError](err)
	switch {
	case panicked != nil:
		return "panic"
	case taken(cause) != "":
		return "taken"
	case stuck != nil, errors.Is(cause, context.DeadlineExceeded):
		return "timeout"
	case permanent != nil:
		return "permanent"
	}
	return "_OTHER"
}
