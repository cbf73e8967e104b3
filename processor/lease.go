package processor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"millrace"
	"millrace/streams"
)

// errLeaseLost is the cause of a handler's context when the task is not this
// worker's any more: the server was silent for too long, or this process was.
var errLeaseLost = errors.New("the lease on the task is lost; another worker may have it")

// leases keeps what this worker holds. Every third of the ack wait it tells the
// server, queue by queue, and a lease lasts for an ack wait from the last time
// that the server confirmed. A lease that is over is never renewed: its task may
// have been given to somebody else.
//
// What runs for longer than checkOut is checked out: it gets a lease of its own, and
// its place in the log is not needed any more.
type leases struct {
	store    *streams.Store
	log      *slog.Logger
	wait     time.Duration
	checkOut time.Duration

	mu   sync.Mutex
	held map[*job]*lease
}

type lease struct {
	confirmed time.Time
	started   time.Time // when the handler was called
	lost      bool
	cancel    context.CancelCauseFunc // nil while the handler does not run
}

func newLeases(store *streams.Store, checkOut time.Duration, log *slog.Logger) *leases {
	return &leases{store: store, log: log, wait: store.AckWait(), checkOut: checkOut, held: map[*job]*lease{}}
}

func (ls *leases) add(j *job) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.held[j] = &lease{confirmed: j.Received}
}

// running gives the lease a context to cancel when it is lost. It returns false
// if that has happened already.
func (ls *leases) running(j *job, cancel context.CancelCauseFunc) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.held[j]
	if l == nil || l.lost || time.Since(l.confirmed) >= ls.wait {
		return false
	}
	l.cancel, l.started = cancel, time.Now()
	return true
}

// lost reports whether the task may be somebody else's by now.
func (ls *leases) lost(j *job) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.held[j]
	return l == nil || l.lost || time.Since(l.confirmed) >= ls.wait
}

func (ls *leases) drop(j *job) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.held, j)
}

// abandon gives up every lease and returns the jobs whose handlers still run.
func (ls *leases) abandon() []*job {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var out []*job
	for j, l := range ls.held {
		if l.cancel != nil && j.decided.CompareAndSwap(false, true) {
			out = append(out, j)
		}
	}
	clear(ls.held)
	return out
}

// run renews until ctx ends.
func (ls *leases) run(ctx context.Context) {
	tick := time.NewTicker(min(time.Second, ls.wait/6))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ls.expire()
			ls.renew(ctx)
		}
	}
}

// expire marks the leases that are over and stops their handlers.
func (ls *leases) expire() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for j, l := range ls.held {
		if l.lost || time.Since(l.confirmed) < ls.wait {
			continue
		}
		ls.lose(j, l)
	}
}

func (ls *leases) lose(j *job, l *lease) {
	l.lost = true
	ls.store.LostLease()
	ls.log.Warn("lost the lease on a task", "task", j.Task.ID, "kind", j.Task.Kind, "queue", j.Task.Queue)
	if l.cancel != nil {
		l.cancel(errLeaseLost)
	}
}

// taken gives up the lease on a task that somebody else has written about.
func (ls *leases) taken(j *job) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.held[j]; l != nil && !l.lost {
		ls.lose(j, l)
	}
}

// cancelled stops the handler of a task that was called off, or sees to it that it
// is not called.
func (ls *leases) cancelled(id string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for j, l := range ls.held {
		if j.Task.ID != id {
			continue
		}
		l.lost = true
		if l.cancel != nil {
			l.cancel(millrace.ErrCancelled)
		}
	}
}

// renew tells the server of every lease that has used up a third of its time.
func (ls *leases) renew(ctx context.Context) {
	now := time.Now()
	due := map[string][]*job{}
	var long []*job
	ls.mu.Lock()
	for j, l := range ls.held {
		switch {
		case l.lost || now.Sub(l.confirmed) < ls.wait/3:
		case !l.started.IsZero() && now.Sub(l.started) >= ls.checkOut:
			long = append(long, j)
		default:
			due[j.Task.Queue] = append(due[j.Task.Queue], j)
		}
	}
	ls.mu.Unlock()
	// Not longer than the leases last: then it is too late anyway.
	ctx, cancel := context.WithTimeout(ctx, ls.wait/3)
	defer cancel()
	var renewing sync.WaitGroup
	for _, j := range long {
		renewing.Go(func() { ls.renewLong(ctx, j, now) })
	}
	for queue, jobs := range due {
		renewing.Go(func() { ls.renewMany(ctx, queue, jobs, now) })
	}
	renewing.Wait()
}

func (ls *leases) renewMany(ctx context.Context, queue string, jobs []*job, now time.Time) {
	deliveries := make([]*streams.Delivery, len(jobs))
	for i, j := range jobs {
		deliveries[i] = j.Delivery
	}
	if err := ls.store.Extend(ctx, deliveries); err != nil {
		if ctx.Err() == nil {
			ls.log.Warn("cannot renew leases", "queue", queue, "tasks", len(jobs), "error", err)
		}
		return
	}
	ls.confirm(jobs, now)
}

// renewLong renews the lease of a task that is checked out, or checks it out.
func (ls *leases) renewLong(ctx context.Context, j *job, now time.Time) {
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.closed {
		return
	}
	var err error
	if j.CheckedOut() {
		err = ls.store.ExtendCheckedOut(ctx, j.Delivery)
	} else {
		err = ls.store.CheckOut(ctx, j.Delivery, running(j))
	}
	switch {
	case err == nil:
		ls.confirm([]*job{j}, now)
	case errors.Is(err, millrace.ErrConflict):
		ls.taken(j)
	default:
		ls.log.Warn("cannot renew a lease", "task", j.Task.ID, "error", err)
	}
}

// confirm extends the leases from when the server was told. One that ran out
// meanwhile stays lost.
func (ls *leases) confirm(jobs []*job, told time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, j := range jobs {
		if l := ls.held[j]; l != nil && !l.lost && time.Since(l.confirmed) < ls.wait {
			l.confirmed = told
		}
	}
}
