package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// Retention is how much of what is done a log keeps: as many tasks as Tasks, and
// for as long as Age, whichever is less.
type Retention struct {
	Tasks uint64
	Age   time.Duration
}

// DefaultRetention keeps 250,000 finished tasks, for a day.
func DefaultRetention() Retention { return Retention{Tasks: 250_000, Age: 24 * time.Hour} }

// Trim removes from the queue's log what no consumer needs any more and the
// retention does not ask for, and returns how many tasks that were. A log whose
// workers' consumer is missing is left alone: nobody knows what it would need.
//
// The log's end is read first and its consumers then. So one that has nothing left
// to do needs what came after that end, and nothing before.
func (s *Store) Trim(ctx context.Context, queue string, keep Retention) (uint64, error) {
	if err := s.CheckQueue(queue); err != nil {
		return 0, err
	}
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	n, err := s.trim(ctx, queue, keep)
	if err != nil {
		return 0, fmt.Errorf("%w: trim the log of queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	return n, nil
}

func (s *Store) trim(ctx context.Context, queue string, keep Retention) (uint64, error) {
	stream, err := s.js.Stream(ctx, taskStream(queue))
	if err != nil {
		return 0, err
	}
	before := stream.CachedInfo().State
	needed, found := before.LastSeq+1, false
	listed := 0
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		listed++
		found = found || info.Name == consumerName
		needed = min(needed, firstNeeded(info, before.LastSeq))
	}
	// A cluster leaves out of the list whoever does not answer in time.
	if err := consumers.Err(); err != nil || !found || listed < before.Consumers {
		return 0, err
	}
	old, err := s.firstSince(ctx, taskStream(queue), time.Now().Add(-keep.Age), before.LastSeq)
	if err != nil {
		return 0, err
	}
	upTo := trimTo(needed, old, keep.Tasks)
	if upTo <= before.FirstSeq {
		return 0, nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(upTo)); err != nil {
		return 0, err
	}
	after, err := stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	// What was submitted meanwhile counts against it.
	return before.Msgs - min(before.Msgs, after.State.Msgs), nil
}

// firstNeeded is the lowest sequence that a consumer still needs, of a log that
// ended with last. One that reads everything needs what comes after its floor,
// whatever it says of what is to come: in a cluster it may not have heard yet of all
// that the log's leader has taken. The floor of one that reads only some kinds stays
// behind, and when it has nothing left to do, it needs nothing.
func firstNeeded(c *jetstream.ConsumerInfo, last uint64) uint64 {
	filtered := c.Config.FilterSubject != "" || len(c.Config.FilterSubjects) > 0
	switch {
	case filtered && c.NumPending == 0 && c.NumAckPending == 0:
		return last + 1
	case c.Config.AckPolicy == jetstream.AckNonePolicy:
		return c.Delivered.Stream + 1
	default:
		return c.AckFloor.Stream + 1
	}
}

// trimTo is the sequence before which a log is trimmed: needed is the first that
// must stay, old the first that is younger than the retention's age, and tasks how
// many that are done it keeps.
func trimTo(needed, old, tasks uint64) uint64 {
	beyond := needed - min(needed, tasks)
	return min(needed, max(beyond, old))
}

// TrimDue removes what was due and has been moved, all at once, and returns how much
// that was.
func (s *Store) TrimDue(ctx context.Context) (uint64, error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	removed := uint64(0)
	for shard := range scheduleStreams {
		n, err := s.trimDue(ctx, shard)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("%w: trim %s: %w", millrace.ErrUnavailable, scheduleStream(shard), err)
		}
	}
	return removed, nil
}

func (s *Store) trimDue(ctx context.Context, shard int) (uint64, error) {
	moved, err := s.movedUpTo(ctx, shard)
	if err != nil || moved == 0 {
		return 0, err
	}
	return s.purgeUpTo(ctx, scheduleStream(shard), dueFilter(shard), moved+1)
}

// movedUpTo is the sequence up to which all that was due in a shard is moved.
func (s *Store) movedUpTo(ctx context.Context, shard int) (uint64, error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	consumer, err := s.js.Consumer(ctx, scheduleStream(shard), moversName)
	if err != nil {
		return 0, fmt.Errorf("%w: what is moved in %s: %w", millrace.ErrUnavailable, scheduleStream(shard), err)
	}
	return consumer.CachedInfo().AckFloor.Stream, nil
}
