package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/bench/workload"
	"millrace/processor"
	"millrace/streams"
)

// system is a control.System.
type system struct {
	store   *streams.Store
	results jetstream.Stream
}

// fillBatch is small, so that the tasks in hand are not what shows in the memory.
const fillBatch = 500

func (s *system) Fill(ctx context.Context, n int) error {
	args := workload.ArgsJSON()
	batch := make([]millrace.RawTask, 0, fillBatch)
	for i := range n {
		batch = append(batch, millrace.RawTask{ID: workload.ID(i), Kind: workload.Kind, Args: args, SubmittedAt: time.Now().UTC()})
		if len(batch) == cap(batch) || i == n-1 {
			if err := errors.Join(s.store.SubmitMany(ctx, batch)...); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

func (s *system) Work(ctx context.Context) error {
	p := processor.New(s.store, processor.Config{})
	processor.Handle(p, workload.Kind, noop, processor.Kind{})
	go fail("worker", func() error { return p.Run(ctx) })
	return nil
}

func noop(context.Context, millrace.Task[json.RawMessage]) (struct{}, error) { return struct{}{}, nil }

// Finished counts records. Those that a worker is wary of, at its start, have one
// while they run, so that the count can be ahead of a few of the first tasks; but
// not by the time that it is at the last.
func (s *system) Finished(ctx context.Context) (int, error) {
	info, err := s.results.Info(ctx)
	if err != nil {
		return 0, err
	}
	return int(info.State.Msgs), nil
}
