package scheduler

import (
	"context"
	"time"

	"millrace"
	"millrace/otlp"
)

// submit submits the task of a due time. A trace begins with it: the same one, whoever
// does it, and however often.
func (b *Book) submit(ctx context.Context, e *Entry, id string, due time.Time) error {
	task := e.task(id)
	task.Trace = millrace.DeriveTrace(id)
	start := time.Now()
	err := b.store.Submit(ctx, task)
	if err == nil && b.spans != nil {
		if task.Queue == "" {
			task.Queue = b.store.Route(task.Kind)
		}
		b.spans.Record(otlp.Span{
			Trace: task.Trace, Name: "send " + task.Kind, Kind: otlp.Producer, Start: start, End: time.Now(),
			Attrs: append(otlp.OfTask(task, "send"), otlp.Text("millrace.schedule", e.Name), otlp.Text("millrace.due", due.UTC().Format(time.RFC3339))),
		})
	}
	return err
}
