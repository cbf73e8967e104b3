package streams

import (
	"context"
	"fmt"

	"millrace"
)

// Task returns the task of that kind and id as it was submitted, whatever has
// become of it since, for as long as a log holds it. [millrace.ErrNotFound] means
// that none does: it was never accepted, or it is done and the log has forgotten
// it.
func (s *Store) Task(ctx context.Context, kind, id string) (millrace.RawTask, error) {
	for _, err := range []error{millrace.ValidateKind(kind), millrace.ValidateID(id)} {
		if err != nil {
			return millrace.RawTask{}, err
		}
	}
	for _, queue := range s.Queues() {
		found, err := s.lastBy(ctx, taskStream(queue), taskSubject(queue, kind, id))
		if err != nil {
			return millrace.RawTask{}, err
		}
		if len(found) == 0 {
			continue
		}
		task, err := parseTask(found[0].subject, found[0].data)
		if err != nil {
			return millrace.RawTask{}, fmt.Errorf("task %s: %w", id, err)
		}
		if task.SubmittedAt.IsZero() {
			task.SubmittedAt = found[0].time
		}
		return task, nil
	}
	return millrace.RawTask{}, fmt.Errorf("task %s: %w", id, millrace.ErrNotFound)
}
