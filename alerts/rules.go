package alerts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"millrace/streams"
)

// The names of the rules.
const (
	FailureRatio  = "failure-ratio"
	OldestWaiting = "oldest-waiting"
	BacklogGrowth = "backlog-growth"
	NoWorker      = "no-worker"
	DeadGrowth    = "dead-growth"
	ScheduleLate  = "schedule-late"
	DiskFull      = "disk-full"
	ConsumerAhead = "consumer-ahead"
	LostLeases    = "lost-leases"
)

// Thresholds say from when on something is wrong. Of each the zero value means the
// default, and a negative one that there is no such alert.
type Thresholds struct {
	// FailureRatio is which part of the tasks that came to their end in 5 minutes may have
	// failed, of LeastFinished at least. Defaults: 0.2, and 20.
	FailureRatio  float64
	LeastFinished int64
	// OldestWaiting is how long a task may wait in its queue for its first worker.
	// Default: 5 min.
	OldestWaiting time.Duration
	// BacklogGrowth is by how many tasks a queue may have grown in 10 minutes. Default:
	// 10,000.
	BacklogGrowth int64
	// NoWorker is for how long a queue may have tasks, and no worker. Default: 1 min.
	NoWorker time.Duration
	// DeadGrowth is how many tasks may have died in 10 minutes. Default: 100.
	DeadGrowth int64
	// ScheduleLate is how late what is due may be. Default: 1 min.
	ScheduleLate time.Duration
	// DiskFull is which part of the disk may be taken. Default: 0.85.
	DiskFull float64
	// LostLeases is how many leases may be lost in 5 minutes. Default: 10.
	LostLeases int64
}

func (t Thresholds) withDefaults() Thresholds {
	t.FailureRatio = cmp.Or(t.FailureRatio, 0.2)
	t.LeastFinished = cmp.Or(t.LeastFinished, 20)
	t.OldestWaiting = cmp.Or(t.OldestWaiting, 5*time.Minute)
	t.BacklogGrowth = cmp.Or(t.BacklogGrowth, 10_000)
	t.NoWorker = cmp.Or(t.NoWorker, time.Minute)
	t.DeadGrowth = cmp.Or(t.DeadGrowth, 100)
	t.ScheduleLate = cmp.Or(t.ScheduleLate, time.Minute)
	t.DiskFull = cmp.Or(t.DiskFull, 0.85)
	t.LostLeases = cmp.Or(t.LostLeases, 10)
	return t
}

// reading is what a rule says of a subject: a queue, or nothing in particular.
type reading struct {
	rule, subject string
	value, limit  float64
	text          string
	// hold is how long it must be so before it is an alert.
	hold time.Duration
}

// wrong reports whether it is too much.
func (r reading) wrong() bool { return r.value > r.limit }

// well reports whether it is enough less than too much for an alert to end: what stays at
// its threshold does not come and go.
func (r reading) well() bool { return r.value <= r.limit*calm }

const calm = 0.8

// The windows that rules look at.
const (
	ratioWindow  = 5 * time.Minute
	growthWindow = 10 * time.Minute
)

// read looks at everything.
func (w *Watch) read(ctx context.Context) ([]reading, error) {
	t := w.cfg.Thresholds
	to := time.Now().Add(-pointsLate).Truncate(time.Minute)
	series, err := w.store.History(ctx, to.Add(-growthWindow), to, time.Minute)
	if err != nil {
		return nil, err
	}
	now, err := w.store.Depths(ctx)
	if err != nil {
		return nil, err
	}
	readings := overTime(t, series, now)
	serving, err := w.serving(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range now.Queues {
		set := w.store.Control().Get().Queue(q.Queue)
		if !set.Paused.IsZero() {
			continue // somebody wants it to wait
		}
		readings = append(readings, reading{
			rule: OldestWaiting, subject: q.Queue, value: q.Oldest, limit: t.OldestWaiting.Seconds(),
			text: fmt.Sprintf("a task has waited in the queue %s for %s", q.Queue, seconds(q.Oldest)),
		})
		if t.NoWorker > 0 {
			r := reading{rule: NoWorker, subject: q.Queue, hold: t.NoWorker, text: fmt.Sprintf("the queue %s has %d tasks, and no worker takes them", q.Queue, q.Pending)}
			if q.Pending > 0 && !slices.Contains(serving, q.Queue) {
				r.value = float64(q.Pending)
			}
			readings = append(readings, r)
		}
	}
	late, err := w.store.Late(ctx)
	if err != nil {
		return nil, err
	}
	readings = append(readings, reading{
		rule: ScheduleLate, value: late.Seconds(), limit: t.ScheduleLate.Seconds(),
		text: fmt.Sprintf("what is due has not been moved to its queue for %s: see whether a scheduler runs", seconds(late.Seconds())),
	})
	used, limit, err := w.cfg.Disk(ctx)
	if err != nil {
		return nil, err
	}
	if limit > 0 {
		taken := float64(used) / float64(limit)
		readings = append(readings, reading{rule: DiskFull, value: taken, limit: t.DiskFull, text: fmt.Sprintf("%.0f %% of the disk is taken", 100*taken)})
	}
	ahead, err := w.store.Ahead(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range w.store.Queues() {
		r := reading{rule: ConsumerAhead, subject: q, text: "the consumer of the queue " + q + " is ahead of its log, and would pass over the next tasks: see \"millrace doctor\""}
		if slices.Contains(ahead, q) {
			r.value = 1
		}
		readings = append(readings, r)
	}
	return slices.DeleteFunc(readings, func(r reading) bool { return r.limit < 0 }), nil
}

// pointsLate is how long after a minute its points are there.
const pointsLate = 4 * time.Second

// overTime judges what was done.
func overTime(t Thresholds, series *streams.Series, now streams.Depths) []reading {
	all := series.Points
	recent := streams.Series{From: series.From, Step: series.Step, Points: all[max(0, len(all)-int(ratioWindow/series.Step)):]}
	sum := recent.Sum()
	ratio := reading{rule: FailureRatio, limit: t.FailureRatio}
	if n := sum.Succeeded + sum.Failed; n >= t.LeastFinished {
		ratio.value = float64(sum.Failed) / float64(n)
		ratio.text = fmt.Sprintf("%d of the %d tasks that came to their end in %s have failed", sum.Failed, n, ratioWindow)
	}
	readings := []reading{ratio, {
		rule: LostLeases, value: float64(sum.Lost), limit: float64(t.LostLeases),
		text: fmt.Sprintf("workers have lost %d leases in %s: see whether they, or the broker, are overloaded", sum.Lost, ratioWindow),
	}}
	before := series.Points[0].Depths
	for _, p := range all {
		if p.Known {
			before = p.Depths
			break
		}
	}
	if len(before.Queues) == 0 {
		return readings // nobody looked yet
	}
	readings = append(readings, reading{
		rule: DeadGrowth, value: max(0, float64(now.Dead)-float64(before.Dead)), limit: float64(t.DeadGrowth),
		text: fmt.Sprintf("there are %d dead tasks, and there were %d %s ago", now.Dead, before.Dead, growthWindow),
	})
	for _, q := range now.Queues {
		was := streams.Depth{}
		for _, b := range before.Queues {
			if b.Queue == q.Queue {
				was = b
			}
		}
		readings = append(readings, reading{
			rule: BacklogGrowth, subject: q.Queue, value: max(0, float64(q.Pending)-float64(was.Pending)), limit: float64(t.BacklogGrowth),
			text: fmt.Sprintf("%d tasks wait in the queue %s, and %d did %s ago", q.Pending, q.Queue, was.Pending, growthWindow),
		})
	}
	return readings
}

// serving are the queues from which a worker takes tasks.
func (w *Watch) serving(ctx context.Context) (queues []string, err error) {
	workers, err := w.store.Workers(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range workers {
		if !one.Quiet && !one.Stopping {
			queues = append(queues, one.Queues...)
		}
	}
	return queues, nil
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
