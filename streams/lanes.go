package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// lanes are the queues that this process knows, and the routes of its configuration.
// There are never fewer queues than there were. The value is replaced, not changed.
type lanes struct {
	names  []string
	logs   map[string]*committer
	routes []millrace.Route
}

// Queues are the lanes that this store knows: those of the configuration, in its order,
// and those that were added since.
func (s *Store) Queues() []string { return s.lanes.Load().names }

// logOf is where tasks are written to a queue's log, nil for a queue that is not known.
func (s *Store) logOf(queue string) *committer { return s.lanes.Load().logs[queue] }

// CheckQueue returns [millrace.ErrInvalid] for a queue that is not there.
func (s *Store) CheckQueue(queue string) error {
	if known := s.lanes.Load(); known.logs[queue] == nil {
		return fmt.Errorf("%w: there is no queue %q; the queues are %v", millrace.ErrInvalid, queue, known.names)
	}
	return nil
}

// know takes queues in whose logs are there. What is no queue's name is left out:
// somebody has written it by hand.
func (s *Store) know(queues ...string) {
	s.knowing.Lock()
	defer s.knowing.Unlock()
	old := s.lanes.Load()
	next := &lanes{logs: map[string]*committer{}, names: slices.Clone(old.names), routes: old.routes}
	for name, log := range old.logs {
		next.logs[name] = log
	}
	for _, q := range queues {
		if next.logs[q] == nil && millrace.ValidateQueue(q) == nil && s.background.Err() == nil {
			next.names, next.logs[q] = append(next.names, q), s.startCommitter(s.background)
		}
	}
	if len(next.names) > len(old.names) {
		s.lanes.Store(next)
	}
}

// AddQueue makes a queue, for all processes: they take tasks for it, and their workers
// work on it, without a restart. Of q its share counts, Weight and Strict. It reports
// whether the queue is new to this process. To add one again changes its share, for all
// workers whose own configuration does not name it. It returns [millrace.ErrNoRoom] if the broker has no
// room for its log.
func (s *Store) AddQueue(ctx context.Context, name string, q QueueSettings) (added bool, err error) {
	if err := millrace.ValidateQueue(name); err != nil {
		return false, err
	}
	if q.Weight < 0 {
		return false, fmt.Errorf("%w: the weight of a queue must be at least 1, not %d", millrace.ErrInvalid, q.Weight)
	}
	added = s.CheckQueue(name) != nil
	// The log first: whoever hears of the queue must find it.
	if err := s.ensureQueue(ctx, name); err != nil {
		return false, err
	}
	_, err = s.control.Update(ctx, func(set *Settings) error {
		set.ChangeQueue(name, func(have *QueueSettings) { have.Added, have.Weight, have.Strict = true, q.Weight, q.Strict })
		return nil
	})
	return added, err
}

// ensureQueue creates a queue's log and its consumer, unless they are there.
func (s *Store) ensureQueue(ctx context.Context, name string) error {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	err := ensureStream(ctx, s.js, s.cfg.taskLog(name), false)
	if err == nil {
		_, err = ensureWorkers(ctx, s.js, s.cfg, name)
	}
	refused, _ := errors.AsType[*jetstream.APIError](err)
	switch {
	case err == nil:
		return nil
	case refused != nil && refused.ErrorCode == codeInsufficientStorage:
		return fmt.Errorf("%w: %w", millrace.ErrNoRoom, err)
	case transient(err) || ctx.Err() != nil:
		return fmt.Errorf("%w: make queue %s: %w", millrace.ErrUnavailable, name, err)
	}
	return fmt.Errorf("make queue %s: %w", name, err)
}
