package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// lanes are the queues that this process knows, and the routes of its configuration. The
// value is replaced, not changed.
type lanes struct {
	names  []string
	logs   map[string]*committer
	gone   map[string]*committer // of queues that were removed, in case they are added again
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
		return fmt.Errorf("%w: there is no queue %q; the queues are %s", millrace.ErrInvalid, queue, strings.Join(known.names, ", "))
	}
	return nil
}

// know takes queues in whose logs are there. What is no queue's name is left out:
// somebody has written it by hand.
func (s *Store) know(queues ...string) {
	s.knowing.Lock()
	defer s.knowing.Unlock()
	old := s.lanes.Load()
	next := old.clone()
	for _, q := range queues {
		if next.logs[q] == nil && millrace.ValidateQueue(q) == nil && s.background.Err() == nil {
			log := next.gone[q]
			if log == nil {
				log = s.startCommitter(s.background)
			}
			next.names, next.logs[q] = append(next.names, q), log
			delete(next.gone, q)
		}
	}
	if len(next.names) > len(old.names) {
		s.lanes.Store(next)
	}
}

// forget takes out the queues that were added and are not any more.
func (s *Store) forget(added []string) {
	s.knowing.Lock()
	defer s.knowing.Unlock()
	old := s.lanes.Load()
	next := old.clone()
	next.names = slices.DeleteFunc(next.names, func(q string) bool {
		if slices.Contains(added, q) || slices.Contains(s.cfg.Queues, q) {
			return false
		}
		next.gone[q] = next.logs[q]
		delete(next.logs, q)
		return true
	})
	if len(next.names) < len(old.names) {
		s.lanes.Store(next)
	}
}

func (l *lanes) clone() *lanes {
	next := &lanes{logs: map[string]*committer{}, gone: map[string]*committer{}, names: slices.Clone(l.names), routes: l.routes}
	maps.Copy(next.logs, l.logs)
	maps.Copy(next.gone, l.gone)
	return next
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
		set.ChangeQueue(name, func(have *QueueSettings) {
			have.Added, have.Weight, have.Strict, have.Removing = true, q.Weight, q.Strict, time.Time{}
		})
		return nil
	})
	if err != nil {
		return added, err
	}
	return added, s.ensureQueue(ctx, name) // once more, since somebody may have been removing it
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
