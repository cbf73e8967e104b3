package metrics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace"
	"millrace/streams"
)

// What a process has done itself it knows at once. What the broker knows, it is asked for,
// at most every depthsAge however often somebody scrapes, and for lookTime at most.
const (
	depthsAge = 5 * time.Second
	lookTime  = 2 * time.Second
)

// ofStore tells of tasks, of the queues, and of what is kept.
type ofStore struct {
	store *streams.Store
	log   func(error)

	mu     sync.Mutex
	looked time.Time
	seen   seen
}

// seen is what the broker has told.
type seen struct {
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
	commits   = described("millrace_commit_messages", "Messages in each write to the broker, of those that writers share.")

	pending   = described("millrace_queue_pending", "Tasks that wait in the queue for their first worker.", "queue")
	inFlight  = described("millrace_queue_in_flight", "Tasks of the queue that were given to workers and are not finished.", "queue")
	oldest    = described("millrace_queue_oldest_seconds", "How long the first task of the queue waits already.", "queue")
	workers   = described("millrace_workers", "Workers that run, anywhere.")
	busy      = described("millrace_handlers_busy", "Handlers that run, anywhere.")
	places    = described("millrace_handlers", "Handlers that may run at once, anywhere.")
	dead      = described("millrace_dead_tasks", "Tasks that failed for good and are kept.")
	late      = described("millrace_due_late_seconds", "How long what is due waits already for a scheduler to move it: of the longest.")
	storage   = described("millrace_storage_bytes", "What is kept on the broker's disk.")
	storageOf = described("millrace_storage_limit_bytes", "How much may be kept there, where the broker says so.")
	reached   = described("millrace_broker_up", "Whether the broker answered when it was asked last.")
)

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (o *ofStore) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		submitted, finished, retried, lost, wait, run, commits, pending, inFlight, oldest, workers, busy, places, dead, late, storage, storageOf, reached,
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
	to <- commitSizes(t)

	s := o.look()
	if !s.ok {
		gauge(reached, 0)
		return
	}
	gauge(reached, 1)
	for _, q := range s.depths.Queues {
		gauge(pending, float64(q.Pending), q.Queue)
		gauge(inFlight, float64(q.InFlight), q.Queue)
		gauge(oldest, q.Oldest, q.Queue)
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

// look asks the broker, unless that was done a moment ago.
func (o *ofStore) look() seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.looked) < depthsAge {
		return o.seen
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	var s seen
	var err error
	if s.depths, err = o.store.Depths(ctx); err == nil {
		s.late, err = o.store.Late(ctx)
	}
	if err == nil {
		s.used, s.limit, err = o.store.Storage(ctx)
	}
	if s.ok = err == nil; !s.ok && o.seen.ok {
		o.log(fmt.Errorf("metrics of the broker: %w", err))
	}
	o.looked, o.seen = time.Now(), s
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
