package streams

import (
	"context"
	"fmt"
	"strings"
	"time"

	"millrace"
)

// QueueState is how a queue is.
type QueueState struct {
	Name string
	// Pending is how many tasks wait in the log for their first worker, and Oldest
	// since when the first of them does: zero if none does.
	Pending uint64
	Oldest  time.Time
	// InFlight is how many were given to workers and are not finished: they run, or
	// come again in a moment.
	InFlight int
	// Entered is how many have come into its log since that began; one that is tried again
	// after it was put off counts again.
	Entered uint64
	// Bytes is how much the log takes, and MaxBytes how much it may.
	Bytes, MaxBytes int64
	// HeldUntil is until when the queue's consumer is paused by somebody who told that
	// the broker, as with "nats consumer pause"; zero if it is not.
	HeldUntil time.Time
	QueueSettings
}

// QueueState looks at a queue. It returns [millrace.ErrNotFound] if there is none of
// that name.
func (s *Store) QueueState(ctx context.Context, queue string) (QueueState, error) {
	if s.CheckQueue(queue) != nil {
		return QueueState{}, s.noQueue(queue)
	}
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	state, err := s.queueState(ctx, queue)
	if err != nil {
		return QueueState{}, fmt.Errorf("%w: look at queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	return state, nil
}

func (s *Store) noQueue(queue string) error {
	return fmt.Errorf("queue %s: %w; the queues are %s", queue, millrace.ErrNotFound, strings.Join(s.Queues(), ", "))
}

func (s *Store) queueState(ctx context.Context, queue string) (QueueState, error) {
	q := QueueState{Name: queue, QueueSettings: s.control.Get().Queue(queue)}
	stream, err := s.js.Stream(ctx, taskStream(queue))
	if err != nil {
		return q, err
	}
	log := stream.CachedInfo()
	q.Bytes, q.MaxBytes, q.Entered = int64(log.State.Bytes), log.Config.MaxBytes, log.State.LastSeq
	consumer, err := s.js.Consumer(ctx, taskStream(queue), consumerName)
	if err != nil {
		return q, err
	}
	workers := consumer.CachedInfo()
	q.Pending, q.InFlight = workers.NumPending, workers.NumAckPending
	if workers.Paused {
		q.HeldUntil = workers.TimeStamp.Add(workers.PauseRemaining).UTC()
	}
	if q.Pending == 0 {
		return q, nil
	}
	found, _, err := s.getDirect(ctx, taskStream(queue), 1, directGet{NextBy: "tasks." + queue + ".>", Batch: 1, Seq: workers.Delivered.Stream + 1})
	if err == nil && len(found) > 0 {
		q.Oldest = found[0].time.UTC()
	}
	return q, err
}
