package streams

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"millrace"
)

// PauseQueue lets no worker take tasks from a queue any more, until [Store.ResumeQueue],
// whatever is started anew meanwhile. What runs goes on; tasks are taken in, and wait.
// To pause it again changes nothing. Workers hear of it within a moment; one that the
// word does not reach, within 10 s. It returns [millrace.ErrNotFound] if there is no
// such queue.
func (s *Store) PauseQueue(ctx context.Context, queue string) error {
	return s.changeQueue(ctx, queue, func(q *QueueSettings, now time.Time) {
		if q.Paused.IsZero() {
			q.Paused = now
		}
	})
}

// DrainQueue lets nothing into a queue any more from outside, until [Store.ResumeQueue]:
// see [Store.Admit]. Its workers empty it, unless it is paused. What was taken in before
// still comes: what waits for its time, what schedules and other tasks submit.
func (s *Store) DrainQueue(ctx context.Context, queue string) error {
	return s.changeQueue(ctx, queue, func(q *QueueSettings, now time.Time) {
		if q.Draining.IsZero() {
			q.Draining = now
		}
	})
}

// ResumeQueue ends what [Store.PauseQueue] and [Store.DrainQueue] began, and also a
// pause of the queue's consumer that somebody told the broker of.
func (s *Store) ResumeQueue(ctx context.Context, queue string) error {
	err := s.changeQueue(ctx, queue, func(q *QueueSettings, _ time.Time) { q.Paused, q.Draining = time.Time{}, time.Time{} })
	if err != nil {
		return err
	}
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	consumer, err := s.js.Consumer(ctx, taskStream(queue), consumerName)
	if err == nil && consumer.CachedInfo().Paused {
		_, err = s.js.ResumeConsumer(ctx, taskStream(queue), consumerName)
	}
	if err != nil {
		return fmt.Errorf("%w: resume the consumer of queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	return nil
}

func (s *Store) changeQueue(ctx context.Context, queue string, change func(q *QueueSettings, now time.Time)) error {
	if s.CheckQueue(queue) != nil {
		return s.noQueue(queue)
	}
	now := time.Now().UTC()
	_, err := s.control.Update(ctx, func(set *Settings) error {
		set.ChangeQueue(queue, func(q *QueueSettings) { change(q, now) })
		return nil
	})
	return err
}

// PauseKind lets no worker run tasks of a kind any more, until [Store.ResumeKind]. What
// runs goes on. Those that come to a worker are put off, which costs them no attempt
// and holds up no other task. A kind need not be known to anybody.
func (s *Store) PauseKind(ctx context.Context, kind string) error {
	return s.changeKind(ctx, kind, func(k *KindSettings, now time.Time) {
		if k.Paused.IsZero() {
			k.Paused = now
		}
	})
}

// ResumeKind ends what [Store.PauseKind] began, and has the schedulers bring what was put
// off. Should it fail half way, that comes within [MaxPutOff]; to do it again is safe.
func (s *Store) ResumeKind(ctx context.Context, kind string) error {
	err := s.changeKind(ctx, kind, func(k *KindSettings, _ time.Time) { k.Paused = time.Time{} })
	if err != nil {
		return err
	}
	return s.callEarly(ctx, kind)
}

func (s *Store) changeKind(ctx context.Context, kind string, change func(k *KindSettings, now time.Time)) error {
	if err := millrace.ValidateKind(kind); err != nil {
		return err
	}
	now := time.Now().UTC()
	_, err := s.control.Update(ctx, func(set *Settings) error {
		set.ChangeKind(kind, func(k *KindSettings) { change(k, now) })
		return nil
	})
	return err
}

// PausedKind is a kind that is paused.
type PausedKind struct {
	Kind  string
	Since time.Time
}

// PausedKinds are the kinds that are paused, sorted.
func (s *Store) PausedKinds() []PausedKind {
	var paused []PausedKind
	set := s.control.Get()
	for _, kind := range slices.Sorted(maps.Keys(set.Kinds)) {
		if since := set.Kind(kind).Paused; !since.IsZero() {
			paused = append(paused, PausedKind{kind, since})
		}
	}
	return paused
}

const (
	// minPutOff is so long that the task is parked: off its queue, where it would hold
	// a place among what may be under way.
	minPutOff = longRelease + time.Second
	// MaxPutOff is the longest that a task of a paused kind is put off at once.
	MaxPutOff = 30 * time.Second
)

// PutOff is for how long a task of that kind is to be put off, zero if its kind is not
// paused: for longer when the pause has lasted for longer, so that a short one costs
// little time and a long one little work.
func (s *Store) PutOff(kind string) time.Duration {
	since := s.control.Get().Kind(kind).Paused
	if since.IsZero() {
		return 0
	}
	return min(max(time.Since(since)/2, minPutOff), MaxPutOff)
}

// Admit returns [millrace.ErrDraining] if the queue takes nothing from outside. It is
// for who lets in work that nobody has been promised yet: [Store.Submit] does not ask.
func (s *Store) Admit(queue string) error {
	if since := s.control.Get().Queue(queue).Draining; !since.IsZero() {
		return fmt.Errorf("%w: queue %s takes no more until it is resumed (POST /v1/queues/%s/resume); submit to another queue, or later", millrace.ErrDraining, queue, queue)
	}
	return nil
}
