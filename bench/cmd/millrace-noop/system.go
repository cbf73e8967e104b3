package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/bench/workload"
	"millrace/orders"
	"millrace/processor"
	"millrace/streams"
)

// system is a control.System.
type system struct {
	store   *streams.Store
	clean   bool // the server remembers every delivery
	results jetstream.Stream
	log     jetstream.Stream

	connect func() (*streams.Store, error) // one more store
	mu      sync.Mutex
	waited  [2][]time.Duration // before those that fail were tried again, and since
	again   bool
}

// fillBatch is small, so that the tasks in hand are not what shows in the memory.
const fillBatch = 500

func (s *system) Fill(ctx context.Context, n int) error {
	return s.fill(ctx, n, workload.Kind, workload.ID)
}

func (s *system) Fail(ctx context.Context, n int) error {
	return s.fill(ctx, n, workload.FailingKind, workload.FailingID)
}

func (s *system) fill(ctx context.Context, n int, kind string, id func(int) string) error {
	args := workload.ArgsJSON()
	batch := make([]millrace.RawTask, 0, fillBatch)
	tags := make([][]string, 100)
	tags[0] = []string{"rare"} // some to be found
	for i := range n {
		batch = append(batch, millrace.RawTask{ID: id(i), Kind: kind, Args: args, SubmittedAt: time.Now().UTC(), Options: millrace.Options{Tags: tags[i%len(tags)]}})
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
	p := processor.New(s.store, processor.Config{BrokerRemembers: s.clean})
	processor.Handle(p, workload.Kind, s.noop, processor.Kind{})
	processor.Handle(p, workload.FailingKind, s.failing, processor.Kind{})
	go fail("worker", func() error { return p.Run(ctx) })
	return nil
}

func (s *system) WorkInBatches(ctx context.Context, size int) error {
	p := processor.New(s.store, processor.Config{BrokerRemembers: s.clean})
	processor.HandleBatch(p, workload.Kind, noops, processor.Batch{Size: size}, processor.Kind{})
	go fail("worker", func() error { return p.Run(ctx) })
	return nil
}

func noops(_ context.Context, tasks []millrace.Task[json.RawMessage]) ([]processor.Result[struct{}], error) {
	return make([]processor.Result[struct{}], len(tasks)), nil
}

func (s *system) noop(_ context.Context, t millrace.Task[json.RawMessage]) (struct{}, error) {
	waited := time.Since(t.SubmittedAt)
	s.mu.Lock()
	defer s.mu.Unlock()
	phase := 0
	if s.again {
		phase = 1
	}
	if len(s.waited[phase]) < maxWaited {
		s.waited[phase] = append(s.waited[phase], waited)
	}
	return struct{}{}, nil
}

func (s *system) failing(_ context.Context, t millrace.Task[json.RawMessage]) (struct{}, error) {
	if t.Attempt > 1 {
		s.mu.Lock()
		s.again = true
		s.mu.Unlock()
	}
	return struct{}{}, errors.New("it always fails")
}

// maxWaited is how many waits are kept.
const maxWaited = 10_000

func (s *system) Waits(since bool) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	phase := 0
	if since {
		phase = 1
	}
	all := s.waited[phase]
	s.waited[phase] = nil
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return float64(all[len(all)*99/100]) / float64(time.Millisecond)
}

// submitters is how many submit for later at once; so they share writes.
const submitters = 256

func (s *system) Later(ctx context.Context, n int, at time.Time) error {
	args := workload.ArgsJSON()
	errs := make([]error, submitters)
	var running sync.WaitGroup
	for f := range submitters {
		running.Go(func() {
			for i := f; i < n && errs[f] == nil; i += submitters {
				t := millrace.RawTask{ID: workload.LaterID(i), Kind: workload.Kind, Args: args, SubmittedAt: time.Now().UTC()}
				errs[f] = s.store.SubmitAt(ctx, t, at)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func (s *system) Queued(ctx context.Context) (int, error) {
	info, err := s.log.Info(ctx)
	if err != nil {
		return 0, err
	}
	return int(info.State.Msgs), nil
}

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

// Shop starts workers as if each were a process of its own.
func (s *system) Shop(ctx context.Context, workers int) error {
	for range workers {
		store, err := s.connect()
		if err != nil {
			return err
		}
		p := processor.New(store, processor.Config{BrokerRemembers: s.clean})
		orders.New(store, orders.Config{}).Register(p)
		go fail("worker", func() error { return p.Run(ctx) })
	}
	return nil
}

func (s *system) Stock(ctx context.Context, n int, skus []string) error {
	counts := make([]orders.Count, len(skus))
	for i, sku := range skus {
		counts[i] = orders.Count{SKU: sku, OnHand: int64(n)}
	}
	return errors.Join(orders.New(s.store, orders.Config{}).SetStocks(ctx, counts)...)
}
