package streams

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Submit puts a task into its queue's log. When it returns nil the task is on
// disk and will be carried out.
//
// An empty Queue is filled in from the routes. The id is taken once: a second
// task of that id, kind and queue gets [millrace.ErrConflict], so to submit
// again after an error is safe. Ids must differ between kinds and queues too:
// which task of an id comes first has it, and any other ends among the dead. Errors wrap [millrace.ErrInvalid],
// [millrace.ErrConflict], [millrace.ErrQueueFull] (nothing was stored) or
// [millrace.ErrUnavailable] (nothing was stored, or no answer came).
func (s *Store) Submit(ctx context.Context, task millrace.RawTask) error {
	return s.SubmitMany(ctx, []millrace.RawTask{task})[0]
}

// SubmitMany submits tasks and returns an error or nil for each, as [Store.Submit]
// does. They are not one transaction.
func (s *Store) SubmitMany(ctx context.Context, tasks []millrace.RawTask) []error {
	return s.BeginSubmit(ctx, tasks)()
}

// BeginSubmit is [Store.SubmitMany] for somebody who has more to submit meanwhile: it
// returns what waits for the errors. The tasks of a queue get into its log in the order
// in which one caller begins to submit them.
func (s *Store) BeginSubmit(ctx context.Context, tasks []millrace.RawTask) func() []error {
	errs := make([]error, len(tasks))
	byQueue := map[string][]int{}
	msgs := make([]*nats.Msg, len(tasks))
	var limited []millrace.RawTask
	var lines []string
	var of []int
	for i, t := range tasks {
		t = traced(ctx, t)
		if t.Queue == "" {
			t.Queue = s.Route(t.Kind)
		}
		if msgs[i], errs[i] = s.taskMessage(t); errs[i] != nil {
			continue
		}
		if limit := s.nextLimit(t); limit != "" {
			limited, lines, of = append(limited, t), append(lines, limit), append(of, i)
			continue
		}
		byQueue[t.Queue] = append(byQueue[t.Queue], i)
	}
	for j, err := range s.hold(ctx, limited, lines) {
		if err != nil {
			errs[of[j]] = fmt.Errorf("submit to the line of %s: %w", lines[j], err)
		}
	}
	waits := make(map[string]func() []verdict, len(byQueue))
	for queue, indexes := range byQueue {
		batch := make([]*nats.Msg, len(indexes))
		for j, i := range indexes {
			batch[j] = msgs[i]
		}
		waits[queue] = s.logOf(queue).begin(ctx, batch)
	}
	return func() []error {
		for queue, wait := range waits {
			for j, v := range wait() {
				if v.err != nil {
					errs[byQueue[queue][j]] = fmt.Errorf("submit to queue %s: %w", queue, v.err)
				}
			}
		}
		return s.submittedAll(tasks, errs)
	}
}

func (s *Store) taskMessage(t millrace.RawTask) (*nats.Msg, error) {
	for _, err := range []error{millrace.ValidateID(t.ID), millrace.ValidateKind(t.Kind), s.CheckQueue(t.Queue)} {
		if err != nil {
			return nil, err
		}
	}
	if t.Key != "" {
		if err := millrace.ValidateKey(t.Key); err != nil {
			return nil, err
		}
	}
	data, err := encode(t)
	if err != nil {
		return nil, fmt.Errorf("%w: args are not JSON: %w", millrace.ErrInvalid, err)
	}
	return newMessage(taskSubject(t.Queue, t.Kind, t.ID), data, 0), nil
}
