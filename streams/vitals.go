package streams

import (
	"context"
	"fmt"
	"time"

	"millrace"
)

// Alerts is where it is kept what is wrong, beside the settings of all processes.
func (s *Store) Alerts() *Bucket { return s.buckets[controlBucket] }

// LostLease counts a lease on a task that was lost while its handler ran.
func (s *Store) LostLease() { s.tally.lost.Add(1) }

// Ahead returns the queues whose consumer has delivered more than their log has, as when
// an older copy of the log was put back: the next tasks would be passed over.
func (s *Store) Ahead(ctx context.Context) (queues []string, err error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	for _, q := range s.Queues() {
		// The consumer first: the log only grows meanwhile.
		consumer, err := s.js.Consumer(ctx, taskStream(q), consumerName)
		if err != nil {
			return nil, fmt.Errorf("%w: consumer of queue %s: %w", millrace.ErrUnavailable, q, err)
		}
		log, err := s.js.Stream(ctx, taskStream(q))
		if err != nil {
			return nil, fmt.Errorf("%w: log of queue %s: %w", millrace.ErrUnavailable, q, err)
		}
		if consumer.CachedInfo().Delivered.Stream > log.CachedInfo().State.LastSeq {
			queues = append(queues, q)
		}
	}
	return queues, nil
}

// Late is how long what is due has waited to be moved to its queue, or for a schedule to
// be dealt with: of the longest.
func (s *Store) Late(ctx context.Context) (time.Duration, error) {
	var late time.Duration
	for shard := range scheduleStreams {
		moved, err := s.movedUpTo(ctx, shard)
		if err != nil {
			return 0, err
		}
		found, _, err := s.getDirect(ctx, scheduleStream(shard), 1, directGet{NextBy: dueFilter(shard), Batch: 1, Seq: moved + 1})
		if err != nil {
			return 0, err
		}
		if len(found) > 0 {
			late = max(late, time.Since(found[0].time))
		}
	}
	return late, nil
}

// DealtWith counts how late what was due has come to its queue. What a pause has put off
// was not late.
func (s *Store) DealtWith(d *Due) {
	if !d.early && !d.paused {
		s.tally.lag.count(time.Since(d.At))
	}
}

// Storage is how much of the broker's disk is taken, and how much of it may be; that is
// zero if the broker sets no limit.
func (s *Store) Storage(ctx context.Context) (used, limit uint64, err error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	account, err := s.js.AccountInfo(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: look at the broker's storage: %w", millrace.ErrUnavailable, err)
	}
	return account.Store, uint64(max(0, account.Limits.MaxStore)), nil
}
