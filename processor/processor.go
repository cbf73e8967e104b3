// Package processor carries out tasks: it takes them from their queues as fast as
// it has room, calls the handler of their kind, and writes down what came of it.
//
// Register handlers with [Handle], then call [Processor.Run]. Start reading at
// work.go, which is the way of one task; judge.go decides what an outcome means,
// dispatcher.go which task is next, collect.go what is in a batch, feeder.go how many
// are asked for, and lease.go keeps them ours meanwhile.
package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"millrace"
	"millrace/otlp"
	"millrace/streams"
)

// Config is how a processor works. The zero value is a sensible one.
type Config struct {
	// Concurrency is how many handlers run at once. Zero means 64.
	Concurrency int
	// Queues are the lanes to take tasks from, and how they share the handlers.
	// Empty means every queue of the store; of those out of the box, "critical"
	// has weight 6, "default" 3 and "bulk" 1.
	Queues []Queue
	// Added says that queues that are added while everything runs are served too, with
	// the share that they were given. With empty Queues they are in any case.
	Added bool
	// Grace is how long handlers may go on when [Processor.Run] is told to stop,
	// before their contexts end too. Zero means 30 s.
	Grace time.Duration
	// MaxLost is how many deliveries of a task may die with their worker before
	// the task fails as "worker lost". Zero means 5.
	MaxLost int
	// CheckOut is how long a task may run before it is taken off its queue's log, so
	// that the log can be trimmed. Zero means 1 min.
	CheckOut time.Duration
	// CancelGrace is how long the handler of a task that is cancelled may take to
	// notice, before its place is given to another. Zero means 10 s.
	CancelGrace time.Duration
	// MaxResult is how many bytes of JSON a handler may return. Zero means 64 KiB;
	// at most 512 KiB.
	MaxResult int
	// BrokerRemembers says that the broker knows of every delivery that was made: it
	// did not crash, or not since its workers were started. Otherwise the first tasks
	// of a log count as delivered before, which costs a write for each (see
	// docs/adr/0005). Leave it out if in doubt.
	BrokerRemembers bool
	// Worker names this process in records. Empty means host and pid.
	Worker string
	// Version is what this worker says that it is of. Empty means "dev".
	Version string
	// Spans takes a span of each attempt. Nil means that there are none.
	Spans *otlp.Exporter
	// Logger hears of what goes wrong. Nil means silence.
	Logger *slog.Logger
}

// Queue is a lane and its share of the handlers.
type Queue struct {
	Name string
	// Weight is this queue's share while others have tasks too. Zero means 1.
	Weight int
	// Strict queues go first: while one has tasks, no other is served.
	Strict bool
}

var defaultWeights = map[string]int{"critical": 6, "default": 3, "bulk": 1}

func (c Config) withDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	c.Grace = cmp.Or(c.Grace, 30*time.Second)
	c.MaxLost = cmp.Or(c.MaxLost, 5)
	c.CheckOut = cmp.Or(c.CheckOut, time.Minute)
	c.CancelGrace = cmp.Or(c.CancelGrace, 10*time.Second)
	c.MaxResult = cmp.Or(c.MaxResult, 64<<10)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Worker == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		c.Worker = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	c.Version = cmp.Or(c.Version, "dev")
	return c
}

// withQueues is c with the queues that there are now, and the defaults of each.
func (c Config) withQueues(store *streams.Store) Config {
	if len(c.Queues) == 0 {
		c.Added = true
		for _, q := range store.Queues() {
			set := store.Control().Get().Queue(q)
			c.Queues = append(c.Queues, Queue{Name: q, Weight: cmp.Or(set.Weight, defaultWeights[q]), Strict: set.Strict})
		}
	}
	queuesCopy := make([]Queue, len(c.Queues))
	for i, q := range c.Queues {
		q.Weight = cmp.Or(q.Weight, 1)
		queuesCopy[i] = q
	}
	c.Queues = queuesCopy
	return c
}

func (c Config) validate(store *streams.Store) error {
	var errs []error
	for _, n := range []struct {
		what  string
		value int
	}{{"concurrency", c.Concurrency}, {"the cap on lost deliveries", c.MaxLost}, {"the largest result", c.MaxResult}} {
		if n.value < 1 {
			errs = append(errs, fmt.Errorf("%s must be at least 1, not %d", n.what, n.value))
		}
	}
	if c.MaxResult > 512<<10 {
		errs = append(errs, fmt.Errorf("a result takes at most 512 KiB, not %d bytes", c.MaxResult))
	}
	for _, d := range []struct {
		what  string
		value time.Duration
	}{{"the grace", c.Grace}, {"the time before tasks are checked out", c.CheckOut}, {"the grace of cancelled tasks", c.CancelGrace}} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s must not be negative, but is %s", d.what, d.value))
		}
	}
	seen := map[string]bool{}
	for _, q := range c.Queues {
		if err := store.CheckQueue(q.Name); err != nil {
			errs = append(errs, err)
		}
		if seen[q.Name] {
			errs = append(errs, fmt.Errorf("queue %q is there twice", q.Name))
		}
		seen[q.Name] = true
		if q.Weight < 1 {
			errs = append(errs, fmt.Errorf("queue %q: the weight must be at least 1, not %d", q.Name, q.Weight))
		}
	}
	return errors.Join(errs...)
}

// Processor runs handlers. Make one with [New].
type Processor struct {
	cfg      Config
	store    *streams.Store
	log      *slog.Logger
	handlers map[string]handler
	invalid  []error // what was wrong with registrations

	dispatcher *dispatcher
	leases     *leases
	reports    *reports
	finishing  chan struct{}  // places for outcomes that are being written
	batches    chan struct{}  // the same for those of batches
	working    sync.WaitGroup // every task from its start to its outcome
	stuck      atomic.Int64   // handlers that were given up and have not returned
	stopping   atomic.Bool    // Run is to end
	// concurrency is how many handlers may run at once.
	concurrency atomic.Int64
	unknown     sync.Map // kinds that were warned of

	// handlerCtx is what handlers get; it outlives the Run context by the grace.
	handlerCtx context.Context
	stop       context.CancelCauseFunc
}

// New returns a processor that has no handlers yet.
func New(store *streams.Store, cfg Config) *Processor {
	cfg = cfg.withDefaults()
	p := &Processor{
		cfg: cfg, store: store, log: cfg.Logger, handlers: map[string]handler{},
		finishing: make(chan struct{}, maxFinishing), batches: make(chan struct{}, maxBatches),
	}
	p.concurrency.Store(int64(cfg.Concurrency))
	return p
}

// maxFinishing bounds the outcomes that wait to be written, and maxBatches those of
// batches. A handler's place is free again as soon as it has returned, so that many
// outcomes share a write.
const (
	maxFinishing = 1024
	maxBatches   = 8
)

// errShutdown is the cause of a handler's context when the grace is over.
var errShutdown = errors.New("the worker is shutting down")

// Run carries out tasks until ctx ends. Then it takes no more, hands back those
// it has not started, gives the running ones [Config.Grace], and hands back what
// still runs, at no cost of an attempt. It returns nil after an orderly stop.
func (p *Processor) Run(ctx context.Context) error {
	if len(p.handlers) == 0 {
		return fmt.Errorf("processor: %w: it has no handlers", millrace.ErrInvalid)
	}
	own := len(p.cfg.Queues) > 0
	p.cfg = p.cfg.withQueues(p.store)
	if err := errors.Join(append(p.invalid, p.cfg.validate(p.store))...); err != nil {
		return fmt.Errorf("processor: %w", err)
	}
	p.handlerCtx, p.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	defer p.stop(errShutdown)
	p.leases = newLeases(p.store, p.cfg.CheckOut, p.log)
	p.reports = newReports(p.store, p.leases, p.log)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p.dispatcher = newDispatcher(p.cfg, p.start)
	for _, l := range p.dispatcher.lanes {
		l.own = own
	}
	p.dispatcher.handBack = func(jobs []*job) { p.working.Go(func() { p.handBackAll(jobs) }) }
	p.heed(p.store.Control().Get()) // before anything is asked for

	feeders, err := p.newFeeders(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // it was stopped before it began
		}
		return err
	}
	deaf, err := p.store.Cancellations(p.leases.cancelled)
	if err != nil {
		return err
	}
	defer func() { _ = deaf() }() // it fails when the connection is closed already
	w := newWorker(p, stop)
	unserve, err := w.serve()
	if err != nil {
		return err
	}
	defer func() { _ = unserve() }() // as before
	leaseCtx, endLeases := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { p.leases.run(leaseCtx) })
	background.Go(func() {
		if err := p.store.KeepHistory(leaseCtx); err != nil {
			p.log.Warn("no history is kept of what is done", "error", err)
		}
	})
	background.Go(func() { p.reports.run(leaseCtx) })
	background.Go(func() { p.handBackStale(leaseCtx) })
	background.Go(func() { w.report(leaseCtx) })
	var feeding sync.WaitGroup
	for _, f := range feeders {
		feeding.Go(func() { f.run(ctx) })
	}
	feeding.Go(func() { p.attend(ctx, &feeding) })

	<-ctx.Done()
	p.stopping.Store(true)
	feeding.Wait()
	p.handBackAll(p.dispatcher.close())
	p.finishWithin(p.cfg.Grace)
	endLeases()
	background.Wait()
	return nil
}

// finishWithin waits for the running tasks, then ends their contexts, and then
// hands back those whose handlers do not even care about that.
func (p *Processor) finishWithin(grace time.Duration) {
	done := make(chan struct{})
	go func() {
		p.working.Wait()
		close(done)
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	p.stop(errShutdown)
	timer.Reset(stopPatience)
	select {
	case <-done:
	case <-timer.C:
		abandoned := p.leases.abandon()
		for _, j := range abandoned {
			p.log.Warn("a handler does not stop; its task is handed back", "task", j.Task.ID, "kind", j.Task.Kind)
		}
		p.handBackAll(abandoned)
	}
}

// stopPatience is how long a handler may take to notice that its context ended.
const stopPatience = 2 * time.Second
