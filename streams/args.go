package streams

import (
	"context"
	"encoding/json"
	"errors"

	"millrace"
)

// Args returns what a task's handler is given, and whether that is kept: of one that has
// finished it is for as long as its queue's log keeps the task, up to a day by default, and
// among the dead for as long as it lies there.
func (s *Store) Args(ctx context.Context, r millrace.Record) (args json.RawMessage, kept bool, err error) {
	if r.Replacement != nil {
		return r.Replacement.Args, true, nil
	}
	logged, err := s.loggedTask(ctx, s.lastBy, r)
	if err != nil || logged.ok {
		return logged.task.Args, logged.ok, err
	}
	found, err := s.lastBy(ctx, scheduleStream(shardOf(r.ID)), waitingFilter(r.ID), timerSubject(r.ID), dueSubject(r.ID))
	if err != nil {
		return nil, false, err
	}
	for _, st := range found {
		var w waiting
		if decode(st.data, &w) == nil {
			return w.Task.Args, true, nil
		}
	}
	if r.State != millrace.Failed {
		return nil, false, nil
	}
	d, err := s.findDead(ctx, r.ID)
	if errors.Is(err, millrace.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	d.complete(loggedTask{})
	return d.Task.Args, !d.ArgsGone, nil
}
