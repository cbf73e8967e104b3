package streams

import (
	"context"

	"millrace"
)

// traced is a task that goes on from where the trace stands in ctx, unless it says
// itself where.
func traced(ctx context.Context, t millrace.RawTask) millrace.RawTask {
	if t.Trace == (millrace.Trace{}) {
		t.Trace = millrace.TraceOf(ctx)
	}
	return t
}
