package metrics

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace"
	"millrace/streams"
)

// What a process has done itself it knows at once. What the broker knows, it is asked for
// every depthsAge, for lookTime at most, and until scrapedFor after somebody has scraped:
// so that no scrape waits for it.
const (
	depthsAge  = 5 * time.Second
	lookTime   = 2 * time.Second
	scrapedFor = 2 * time.Minute
)

// ofStore tells of tasks, of the queues, and of what is kept.
type ofStore struct {
	store *streams.Store
	log   func(error)

	scraped atomic.Int64 // when, in Unix nanoseconds
	seen    atomic.Pointer[seen]
	asking  sync.Mutex // by who waits for the answer
}

// seen is what the broker has told.
type seen struct {
	at          time.Time // when it was asked
	depths      streams.Depths
	late        time.Duration
	used, limit uint64
	ok          bool
}

var (
	submitted = described("millrace_tasks_submitted_total", "Tasks that this process has taken in.")
	finished  = described("millrace_tasks_finished_total", "Tasks that this process has brought to their end.", "state")
	retried   = described("millrace_attempts_failed_total", "Attempts in this process that failed and are followed by another.")
	lost      = described("millrace_leases_lost_total", "Leases on tasks that were lost while their handlers ran. It should stay 0.")
	wait      = described("millrace_task_wait_seconds", "From when a task could be carried out to when its handler was called, in this process.")
	run       = described("millrace_task_run_seconds", "From when a handler was called to its outcome, in this process.")
	lag       = described("millrace_due_lag_seconds", "From when a task or a schedule was due to when it was in its queue, of those that this process moved.")
	commits   = described("millrace_commit_messages", "Messages in each write to the broker, of those that writers share.")

	pending   = described("millrace_queue_pending", "Tasks that wait in the queue for their first worker.", "queue")
	inFlight  = described("millrace_queue_in_flight", "Tasks of the queue that were given to workers and are not finished.", "queue")
	serving   = described("millrace_queue_workers", "Workers that take tasks of the queue, anywhere.", "queue")
	oldest    = described("millrace_queue_oldest_seconds", "How long the first task of the queue waits already.", "queue")
	workers   = described("millrace_workers", "Workers that run, anywhere.")
	busy      = described("millrace_handlers_busy", "Handlers that run, anywhere.")
	places    = described("millrace_handlers", "Handlers that may run at once, anywhere.")
	dead      = described("millrace_dead_tasks", "Tasks that failed for good and are kept.")
	late      = described("millrace_due_late_seconds", "How long what is due waits already for a scheduler to move it: of the longest.")
	storage   = described("millrace_storage_bytes", "What is kept on the broker's disk.")
	storageOf = described("millrace_storage_limit_bytes", "How much may be kept there, where the broker says so.")
	reached   = described("millrace_broker_up", "Whether the broker answered when it was asked last.")
	age       = described("millrace_broker_asked_seconds", "How long ago the broker was asked for what it knows.")
)

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (o *ofStore) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		submitted, finished, retried, lost, wait, run, lag, commits, pending, inFlight, serving, oldest, workers, busy, places, dead, late, storage, storageOf, reached, age,
	} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (o *ofStore) Collect(to chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	t := o.store.Totals()
	count(submitted, t.Submitted)
	count(finished, t.Succeeded, string(millrace.Succeeded))
	count(finished, t.Failed, string(millrace.Failed))
	count(finished, t.Cancelled, string(millrace.Cancelled))
	count(retried, t.Retried)
	count(lost, t.Lost)
	to <- histogram(wait, t.Wait)
	to <- histogram(run, t.Run)
	to <- histogram(lag, t.Lag)
	to <- commitSizes(t)

	s := o.scrape()
	gauge(age, time.Since(s.at).Seconds())
	if !s.ok {
		gauge(reached, 0)
		return
	}
	gauge(reached, 1)
	for _, q := range s.depths.Queues {
		gauge(pending, float64(q.Pending), q.Queue)
		gauge(inFlight, float64(q.InFlight), q.Queue)
		gauge(oldest, q.Oldest, q.Queue)
		gauge(serving, float64(q.Workers), q.Queue)
	}
	gauge(workers, float64(s.depths.Workers))
	gauge(busy, float64(s.depths.Busy))
	gauge(places, float64(s.depths.Places))
	gauge(dead, float64(s.depths.Dead))
	gauge(late, s.late.Seconds())
	gauge(storage, float64(s.used))
	if s.limit > 0 {
		gauge(storageOf, float64(s.limit))
	}
}

// scrape returns what the broker has told, and has it asked on for a while. Only who
// scrapes after nobody did for long waits for the answer.
func (o *ofStore) scrape() seen {
	o.scraped.Store(time.Now().UnixNano())
	if s := o.seen.Load(); s != nil && time.Since(s.at) < scrapedFor {
		return *s
	}
	o.asking.Lock()
	defer o.asking.Unlock()
	if s := o.seen.Load(); s != nil && time.Since(s.at) < depthsAge {
		return *s // somebody else has waited for it
	}
	return o.look(context.Background())
}

// run asks the broker every depthsAge while somebody scrapes, until ctx ends.
func (o *ofStore) run(ctx context.Context) {
	tick := time.NewTicker(depthsAge)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if time.Now().UnixNano()-o.scraped.Load() < int64(scrapedFor) {
			o.look(ctx)
		}
	}
}

// look asks the broker.
func (o *ofStore) look(ctx context.Context) seen {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s := seen{at: time.Now()}
	var err error
	if s.depths, err = o.store.Depths(ctx); err == nil {
		s.late, err = o.store.Late(ctx)
	}
	if err == nil {
		s.used, s.limit, err = o.store.Storage(ctx)
	}
	before := o.seen.Load()
	if s.ok = err == nil; !s.ok && before != nil && before.ok {
		o.log(fmt.Errorf("metrics of the broker: %w", err))
	}
	o.seen.Store(&s)
	return s
}

func histogram(d *prometheus.Desc, h streams.Histogram) prometheus.Metric {
	below, n, sum := h.Cumulative()
	buckets := make(map[float64]uint64, len(below))
	for bound, in := range below {
		buckets[bound.Seconds()] = in
	}
	return prometheus.MustNewConstHistogram(d, n, sum.Seconds(), buckets)
}

func commitSizes(t streams.Totals) prometheus.Metric {
	buckets := map[float64]uint64{}
	var n uint64
	var sum float64
	for i, in := range t.Commits {
		n += uint64(in)
		most := float64(int(1) << i)
		buckets[most] = n
		sum += float64(in) * (most/2 + most) / 2
	}
	return prometheus.MustNewConstHistogram(commits, n, sum, buckets)
}
