package streams

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Submissions calls told with every task that is sent to its queue, or to where it waits
// for its time, from now on until stop is called; one call at a time. It is for whoever
// looks on, as a test does: a task is told of again each time that it moves, also if it is
// then refused, and word can get lost with a connection.
func (s *Store) Submissions(told func(millrace.RawTask)) (stop func() error, err error) {
	msgs := make(chan *nats.Msg, 1<<16)
	var subs []*nats.Subscription
	unsubscribe := func() error {
		var errs []error
		for _, sub := range subs {
			errs = append(errs, sub.Unsubscribe())
		}
		return errors.Join(errs...)
	}
	for _, subject := range []string{taskSubject("*", "*", "*"), "waiting.>", "schedules.*.task.*"} {
		sub, err := s.nc.ChanSubscribe(subject, msgs)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen for submissions: %w", publishError(err)), unsubscribe())
		}
		subs = append(subs, sub)
	}
	ended, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case m := <-msgs:
				if task, err := sentTask(m); err == nil {
					told(task)
				}
			case <-ended:
				return
			}
		}
	}()
	return func() error {
		err := unsubscribe()
		close(ended)
		<-over
		return err
	}, nil
}

func sentTask(m *nats.Msg) (millrace.RawTask, error) {
	if _, _, _, ok := parseTaskSubject(m.Subject); ok {
		return parseTask(m.Subject, m.Data)
	}
	var w waiting
	err := decode(m.Data, &w)
	return w.Task, err
}
