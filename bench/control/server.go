package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// System is what a system under test can do.
type System interface {
	// Fill queues n tasks with the ids of the package workload.
	Fill(ctx context.Context, n int) error
	// Work starts the worker.
	Work(ctx context.Context) error
	// Finished is how many tasks have an outcome that is stored.
	Finished(ctx context.Context) (int, error)
}

// Engine is a system that can do more: what its peers are not compared by.
type Engine interface {
	System
	// WorkInBatches starts the worker with a handler of that many tasks at once.
	WorkInBatches(ctx context.Context, size int) error
	// Later submits n tasks for a time.
	Later(ctx context.Context, n int, at time.Time) error
	// Late waits for n tasks of schedules in the log, and is how many seconds the latest
	// came after it was due.
	Late(ctx context.Context, n int) (float64, error)
	// Fail queues n tasks that fail.
	Fail(ctx context.Context, n int) error
	// Queued is how many tasks are in the log.
	Queued(ctx context.Context) (int, error)
	// Waits is the 99th percentile of what tasks waited, in milliseconds: of those that
	// came before the first that fails was tried again, or since then.
	Waits(since bool) float64
	// Shop starts so many workers of the order service.
	Shop(ctx context.Context, workers int) error
	// Stock says how many there are of each of some goods.
	Stock(ctx context.Context, n int, skus []string) error
}

// Serve says hello and does what it is told, until in ends; what is under way then
// is given up. Ctrl-C is for the benchmark alone, and if that is gone (a broken pipe)
// the system still ends in good order.
func Serve(ctx context.Context, in io.Reader, out io.Writer, hello Hello, sys System) error {
	signal.Ignore(os.Interrupt, syscall.SIGPIPE)
	answers := json.NewEncoder(out)
	if err := answers.Encode(hello); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	orders := make(chan order)
	go func() {
		defer close(orders)
		defer cancel()
		for lines := json.NewDecoder(in); ; {
			var o order
			if lines.Decode(&o) != nil {
				return
			}
			orders <- o
		}
	}()
	s := server{sys: sys}
	for o := range orders {
		var a answer
		var err error
		if a.Value, err = s.obey(ctx, o); err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

type server struct {
	sys  System
	cpu  *os.File // the profile under way, if any
	heap string   // where the other will go
}

func (s *server) obey(ctx context.Context, o order) (float64, error) {
	switch o.Do {
	case fill:
		return 0, s.sys.Fill(ctx, o.N)
	case work:
		return 0, s.sys.Work(ctx)
	case await:
		return 0, s.await(ctx, o.N)
	case profile:
		return 0, s.profile(o.Path)
	}
	engine, ok := s.sys.(Engine)
	if !ok {
		return 0, fmt.Errorf("this system takes no order %q", o.Do)
	}
	switch o.Do {
	case batch:
		return 0, engine.WorkInBatches(ctx, o.N)
	case later:
		return 0, engine.Later(ctx, o.N, o.At)
	case late:
		return engine.Late(ctx, o.N)
	case fail:
		return 0, engine.Fail(ctx, o.N)
	case queued:
		n, err := engine.Queued(ctx)
		return float64(n), err
	case waits:
		return engine.Waits(o.N > 0), nil
	case shop:
		return 0, engine.Shop(ctx, o.N)
	case stock:
		return 0, engine.Stock(ctx, o.N, o.SKUs)
	}
	return 0, fmt.Errorf("there is no order %q", o.Do)
}

// How often await counts, and how long the count may stand still. A lease of 30 s
// that has to run out first is slow; what takes longer does not come.
const (
	countEvery = 5 * time.Millisecond
	stuckAfter = 40 * time.Second
)

func (s *server) await(ctx context.Context, n int) error {
	last, moved := -1, time.Now()
	for {
		count, err := s.sys.Finished(ctx)
		switch {
		case err != nil:
			return err
		case count >= n:
			return nil
		case count != last:
			last, moved = count, time.Now()
		case time.Since(moved) > stuckAfter:
			return fmt.Errorf("%d of %d tasks are finished, and no more for %s", count, n, stuckAfter)
		}
		time.Sleep(countEvery)
	}
}

// profile starts a CPU profile, or ends it and writes what is on the heap.
func (s *server) profile(path string) error {
	if s.cpu == nil {
		cpu, err := os.Create(path + ".cpu.prof")
		if err != nil {
			return err
		}
		s.cpu, s.heap = cpu, path+".heap.prof"
		return pprof.StartCPUProfile(cpu)
	}
	pprof.StopCPUProfile()
	cpu := s.cpu
	s.cpu = nil
	heap, err := os.Create(s.heap)
	if err != nil {
		return errors.Join(err, cpu.Close())
	}
	runtime.GC() // a heap profile is as of the last collection
	return errors.Join(cpu.Close(), pprof.WriteHeapProfile(heap), heap.Close())
}
