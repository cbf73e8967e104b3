package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// A queue is removed in steps that each can be done again, or taken back:
//
//	settings    it is being removed: for everybody who hears of that it is not there
//	log         takes nothing any more, from whoever has not heard
//	            does it have anything? Then all is taken back
//	log         deleted
//	settings    nothing is said of it
//
// Whoever dies in between leaves a queue that is not there, and that can be removed, or
// added, again.

// RemoveQueue removes a queue that was added, with what its log remembers of tasks that are
// done; their records and the dead stay. It returns [millrace.ErrNotFound] if there is none
// of that name, and an error that wraps [millrace.ErrConflict], and says why, for one that
// is built in, or of this process's configuration, or is in use: a route leads to it, it has
// tasks that are not finished, wherever they wait, another consumer has not read all of it,
// or inUse, if it is set, returns such an error. Then nothing has changed.
//
// A process whose own configuration has the queue keeps it, and makes it again when it
// starts.
func (s *Store) RemoveQueue(ctx context.Context, queue string, inUse func(context.Context) error) error {
	removing := !s.control.Get().Queue(queue).Removing.IsZero()
	switch {
	case s.CheckQueue(queue) != nil && !removing:
		return s.noQueue(queue)
	case slices.Contains([]string{"critical", "default", "bulk"}, queue):
		return fmt.Errorf("%w: queue %s is built in", millrace.ErrConflict, queue)
	case slices.Contains(s.cfg.Queues, queue):
		return fmt.Errorf("%w: queue %s is of the configuration (--queue): take it out there, for all processes, and start them anew", millrace.ErrConflict, queue)
	}
	check := func() error {
		err := s.queueInUse(ctx, queue)
		if err == nil && inUse != nil {
			err = inUse(ctx)
		}
		return err
	}
	if !removing {
		if err := check(); err != nil {
			return err
		}
	}
	if err := s.setRemoving(ctx, queue, time.Now().UTC()); err != nil {
		return err
	}
	last, err := s.closeLog(ctx, queue)
	if err == nil {
		err = check()
	}
	if err == nil {
		err = s.deleteLog(ctx, queue, last)
	}
	if errors.Is(err, millrace.ErrConflict) {
		after := context.WithoutCancel(ctx)
		return errors.Join(err, s.ensureQueue(after, queue), s.setRemoving(after, queue, time.Time{}))
	}
	if err != nil {
		return fmt.Errorf("queue %s is not there any more, but not removed yet: remove it again, or add it: %w", queue, err)
	}
	_, err = s.control.Update(ctx, func(set *Settings) error {
		set.ChangeQueue(queue, func(q *QueueSettings) {
			if !q.Removing.IsZero() { // else somebody has added it again
				*q = QueueSettings{}
			}
		})
		return nil
	})
	return err
}

func (s *Store) setRemoving(ctx context.Context, queue string, since time.Time) error {
	_, err := s.control.Update(ctx, func(set *Settings) error {
		routes := s.lanes.Load().routes
		if set.Routes != nil {
			routes = *set.Routes
		}
		if err := routesElsewhere(routes, queue); !since.IsZero() && err != nil {
			return err
		}
		set.ChangeQueue(queue, func(q *QueueSettings) { q.Removing = since })
		return nil
	})
	return err
}

func routesElsewhere(routes []millrace.Route, queue string) error {
	for _, r := range routes {
		if r.Queue == queue {
			return fmt.Errorf("%w: the route %s leads to queue %s", millrace.ErrConflict, r.Kinds, queue)
		}
	}
	return nil
}

// queueInUse says why the queue cannot be removed.
func (s *Store) queueInUse(ctx context.Context, queue string) error {
	routes, _ := s.Routes()
	if err := routesElsewhere(routes, queue); err != nil {
		return err
	}
	state, err := s.queueInLog(ctx, queue)
	if err != nil || state == nil {
		return err
	}
	if state.Pending > 0 || state.InFlight > 0 {
		return fmt.Errorf("%w: queue %s has %d pending tasks and %d in flight: drain or purge it first", millrace.ErrConflict, queue, state.Pending, state.InFlight)
	}
	if err := s.readByAll(ctx, queue); err != nil {
		return err
	}
	id, err := s.waitsElsewhere(ctx, queue)
	if err != nil {
		return err
	}
	if id != "" {
		return fmt.Errorf("%w: task %s, among others perhaps, waits for its time or for a limit, and then comes to queue %s: wait for it, or cancel it", millrace.ErrConflict, id, queue)
	}
	return nil
}

// queueInLog is how the queue is, nil if its log is gone already.
func (s *Store) queueInLog(ctx context.Context, queue string) (*QueueState, error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	state, err := s.queueState(ctx, queue)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, nil
	case errors.Is(err, jetstream.ErrConsumerNotFound): // what it has not done is not known
		return nil, fmt.Errorf("%w: the consumer of queue %s is not there", millrace.ErrUnavailable, queue)
	case err != nil:
		return nil, fmt.Errorf("%w: look at queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	return &state, nil
}

// readByAll returns nil if all consumers of the log have read all of it. How much is
// pending the server counts a moment late, so it is looked whether there is anything.
func (s *Store) readByAll(ctx context.Context, queue string) error {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	stream, err := s.js.Stream(ctx, taskStream(queue))
	if err != nil {
		return fmt.Errorf("%w: look at queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	consumers := stream.ListConsumers(ctx)
	var reading error
	for c := range consumers.Info() { // to the end, or who lists them waits for ever
		if reading == nil {
			reading = s.readBy(ctx, queue, c)
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("%w: consumers of queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	return reading
}

func (s *Store) readBy(ctx context.Context, queue string, c *jetstream.ConsumerInfo) error {
	left := c.NumPending > 0 || c.NumAckPending > 0
	if c.Name == consumerName && !left {
		found, _, err := s.getDirect(ctx, taskStream(queue), 1, directGet{NextBy: "tasks." + queue + ".>", Batch: 1, Seq: c.Delivered.Stream + 1})
		if err != nil {
			return fmt.Errorf("look at queue %s: %w", queue, err)
		}
		left = len(found) > 0
	}
	if left {
		return fmt.Errorf("%w: the consumer %s of queue %s has something to read yet: let it, or delete it if it is your own", millrace.ErrConflict, c.Name, queue)
	}
	return nil
}

// waitsElsewhere finds a task that is to come to the queue yet, if there is one.
func (s *Store) waitsElsewhere(ctx context.Context, queue string) (id string, err error) {
	for shard := range scheduleStreams {
		floor, err := s.movedUpTo(ctx, shard)
		if err != nil {
			return "", err
		}
		for _, what := range []string{"waiting.%d.>", "schedules.%d.task.>", "due.%d.task.>"} {
			moved := what[0] == 'd'
			err := s.scan(ctx, scheduleStream(shard), fmt.Sprintf(what, shard), func(st stored) bool {
				var w waiting
				if (!moved || st.seq > floor) && decode(st.data, &w) == nil && w.Task.Queue == queue {
					id = w.Task.ID
				}
				return id == ""
			})
			if err != nil || id != "" {
				return id, err
			}
		}
	}
	err = s.scan(ctx, heldStream, "held.>", func(st stored) bool {
		var h held
		if decode(st.data, &h) == nil && h.Task.Queue == queue {
			id = h.Task.ID
		}
		return id == ""
	})
	return id, err
}

// closedSubject is that of a log that takes nothing.
func closedSubject(queue string) string { return "closed." + queue }

// closeLog lets a queue's log take nothing any more, and returns its last sequence.
func (s *Store) closeLog(ctx context.Context, queue string) (last uint64, err error) {
	return s.atLog(ctx, queue, func(ctx context.Context, stream jetstream.Stream) (uint64, error) {
		cfg := stream.CachedInfo().Config
		cfg.Subjects = []string{closedSubject(queue)}
		closed, err := s.js.UpdateStream(ctx, cfg)
		if err != nil {
			return 0, err
		}
		return closed.CachedInfo().State.LastSeq, nil
	})
}

// deleteLog deletes a queue's log that was closed, unless somebody has opened it since.
func (s *Store) deleteLog(ctx context.Context, queue string, last uint64) error {
	_, err := s.atLog(ctx, queue, func(ctx context.Context, stream jetstream.Stream) (uint64, error) {
		info := stream.CachedInfo()
		if !slices.Equal(info.Config.Subjects, []string{closedSubject(queue)}) || info.State.LastSeq != last {
			return 0, fmt.Errorf("%w: somebody has opened queue %s again: add it, or remove it again", millrace.ErrConflict, queue)
		}
		return 0, s.js.DeleteStream(ctx, taskStream(queue))
	})
	return err
}

// atLog does something with a queue's log, if that is there.
func (s *Store) atLog(ctx context.Context, queue string, do func(context.Context, jetstream.Stream) (uint64, error)) (uint64, error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	stream, err := s.js.Stream(ctx, taskStream(queue))
	var n uint64
	if err == nil {
		n, err = do(ctx, stream)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return 0, nil
	case err == nil, errors.Is(err, millrace.ErrConflict):
		return n, err
	}
	return 0, fmt.Errorf("%w: the log of queue %s: %w", millrace.ErrUnavailable, queue, err)
}
