package processor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"millrace"
	"millrace/streams"
)

// worker is what a running processor says of itself, and what it can be told from
// elsewhere.
type worker struct {
	p    *Processor
	self streams.Worker // what does not change
	stop context.CancelFunc
	tell chan struct{} // there is something new to say
}

const (
	// sayEvery is how often a worker says how it is.
	sayEvery = 5 * time.Second
	// listedRunning is how many of the tasks that run it names.
	listedRunning = 100
	// maxConcurrency is the most handlers at once that it can be told to run.
	maxConcurrency = 100_000
	// maxStackDump is how many bytes of stacks it answers with.
	maxStackDump = 512 << 10
)

func newWorker(p *Processor, stop context.CancelFunc) *worker {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	id := millrace.NewID()
	return &worker{p: p, stop: stop, tell: make(chan struct{}, 1), self: streams.Worker{
		ID: token(p.cfg.Worker) + "-" + id[len(id)-6:], Name: p.cfg.Worker, Host: host, PID: os.Getpid(), Version: p.cfg.Version,
		StartedAt: time.Now().UTC(), Kinds: slices.Sorted(maps.Keys(p.handlers)),
	}}
}

// token is a name with only such signs as an id can have, and short.
func token(name string) string {
	name = strings.Map(func(r rune) rune {
		if millrace.ValidateID(string(r)) != nil {
			return '-'
		}
		return r
	}, name)
	return name[:min(len(name), millrace.MaxIDLen-7)]
}

// serve answers to commands until stop is called.
func (w *worker) serve() (stop func() error, err error) {
	said := func(do func()) streams.WorkerCommand {
		return func([]byte) ([]byte, error) {
			do()
			return w.answer()
		}
	}
	return w.p.store.ServeWorker(w.self, map[string]streams.WorkerCommand{
		"quiet":  said(func() { w.p.dispatcher.setQuiet(true) }),
		"resume": said(func() { w.p.dispatcher.setQuiet(false) }),
		"stop": said(func() {
			w.p.stopping.Store(true)
			w.stop()
		}),
		"concurrency": w.setConcurrency,
		"stacks":      func([]byte) ([]byte, error) { return stacks(), nil },
	})
}

// answer is how the worker is now; the others are told too.
func (w *worker) answer() ([]byte, error) {
	select {
	case w.tell <- struct{}{}:
	default:
	}
	return json.Marshal(w.state())
}

// setConcurrency takes a number, as text, and lets the worker take tasks again.
func (w *worker) setConcurrency(body []byte) ([]byte, error) {
	var n int
	if err := json.Unmarshal(body, &n); err != nil || n < 1 || n > maxConcurrency {
		return nil, fmt.Errorf("concurrency must be a number of 1 to %d, not %.20q", maxConcurrency, body)
	}
	w.p.concurrency.Store(int64(n))
	w.p.dispatcher.resize(n)
	return w.answer()
}

// stacks are those of all goroutines, as far as there is room for them.
func stacks() []byte {
	// The world stands still meanwhile, for 1 ms per 400 goroutines.
	buf := make([]byte, maxStackDump)
	return buf[:runtime.Stack(buf, true)]
}

// report says how the worker is, until ctx ends; then it is taken off the list.
func (w *worker) report(ctx context.Context) {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	told := false
	for {
		err := w.p.store.ReportWorker(ctx, w.state())
		if err != nil && !told && ctx.Err() == nil {
			w.p.log.Warn("cannot tell how this worker is; it works all the same", "error", err)
		}
		told = err != nil
		select {
		case <-tick.C:
		case <-w.tell:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = w.p.store.ForgetWorker(ctx, w.self.ID) // else it goes by itself
			return
		}
	}
}

func (w *worker) state() streams.Worker {
	s := w.self
	s.At = time.Now().UTC()
	s.Queues, s.Busy, s.Quiet = w.p.dispatcher.state()
	s.Concurrency, s.Stuck = int(w.p.concurrency.Load()), int(w.p.stuck.Load())
	s.Stopping = w.p.stopping.Load()
	s.Running = w.p.leases.longest(listedRunning)
	s.MemoryBytes, s.Goroutines = memory(), runtime.NumGoroutine()
	return s
}

// memory is what the process has from the system and has not given back.
func memory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// longest are the tasks that run, those first that have run for longest.
func (ls *leases) longest(limit int) []streams.RunningTask {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	running := []streams.RunningTask{}
	for j, l := range ls.held {
		if !l.started.IsZero() && !j.decided.Load() {
			running = append(running, streams.RunningTask{ID: j.Task.ID, Kind: j.Task.Kind, Queue: j.Task.Queue, Since: l.started.UTC()})
		}
	}
	slices.SortFunc(running, func(a, b streams.RunningTask) int { return a.Since.Compare(b.Since) })
	return running[:min(len(running), limit)]
}

// resize changes how many handlers there are, and lets the worker take tasks again.
func (d *dispatcher) resize(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free += n - d.size
	d.size, d.quiet = n, false
	d.clearShut()
}

// state is which queues there are lanes for, how many handlers run, and whether the
// worker is quiet.
func (d *dispatcher) state() (queues []string, busy int, quiet bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lanes {
		queues = append(queues, l.Name)
	}
	return queues, d.size - d.free, d.quiet
}
