package main

import (
	"context"
	"time"
)

// config is a system that is measured, in one of its settings.
type config struct {
	name, title string
	// program is what to build and start, and args are its settings.
	program string
	args    []string
	// needs is a program that must be installed, or empty.
	needs string
	// sync is the command's flag for the same setting. Peers have none: what is
	// measured with the command itself leaves them out.
	sync string
	// like is the configuration with the same promise, to compare with.
	like string
	// fewer divides the tasks to finish and to drain, for what takes minutes for
	// all of them. Zero means 1.
	fewer int
}

func (c config) id() string { return c.name }

// configs in the order of the table's columns. What is acknowledged survives a
// power cut in the first and the third; in the others the last second is lost.
func configs() []config {
	return []config{
		{name: "synced", title: "synced", program: "millrace-noop", args: []string{"-sync", "0s"}, sync: "always"},
		{name: "1s", title: "`--sync 1s`", program: "millrace-noop", args: []string{"-sync", "1s"}, sync: "1s"},
		{
			name: "asynq-always", title: "asynq, fsync always", like: "synced", fewer: 5,
			program: "asynq-noop", args: []string{"-appendfsync", "always"}, needs: "redis-server",
		},
		{
			name: "asynq-everysec", title: "asynq, fsync everysec", like: "1s",
			program: "asynq-noop", args: []string{"-appendfsync", "everysec"}, needs: "redis-server",
		},
	}
}

// measurement finds out the figures of some rows, of one system, once.
type measurement struct {
	name string
	run  func(context.Context, *bench, config) (map[string]figures, error)
	rows []row
	// command is whether it is of the command itself, and not of what is in cmd/.
	command bool
	// own is whether peers are not measured by it.
	own bool
}

func (m measurement) id() string { return m.name }

// row of the table. The first figures are shown with their spread, and can have
// bars; the others by their medians.
type row struct {
	name, title string
	figures     []figure
	more        []figure
	bars        map[string][]bar // by configuration
	compared    bool             // with the peers, by the first figure
}

// bar is a limit that a figure must keep: at least for rates, at most for others.
type bar struct {
	figure figure
	limit  float64
}

// measurements in the order of the table.
func measurements() []measurement {
	latencies := []figure{p50, p99}
	both := func(bars ...bar) map[string][]bar { return map[string][]bar{"synced": bars, "1s": bars} }
	rates := func(synced, relaxed float64) map[string][]bar {
		return map[string][]bar{"synced": {{rate, synced}}, "1s": {{rate, relaxed}}}
	}
	return []measurement{
		{name: "submit64", run: submit(64), rows: []row{{
			name: "submit64", title: "submit, 64 connections",
			figures: []figure{rate}, more: latencies, bars: rates(9_000, 25_000), compared: true,
		}}},
		{name: "submit256", run: submit(256), rows: []row{{
			name: "submit256", title: "submit, 256 connections",
			figures: []figure{rate}, more: latencies, bars: rates(20_000, 25_000), compared: true,
		}}},
		{name: "unique64", run: unique(64), rows: []row{{
			name: "unique64", title: "submit with unique keys of their own, 64 connections, of the rate without",
			figures: []figure{share}, more: []figure{rate, p50, p99}, bars: both(bar{share, 60}),
		}}, own: true},
		{name: "unique256", run: unique(256), rows: []row{{
			name: "unique256", title: "submit with unique keys of their own, 256 connections, of the rate without",
			figures: []figure{share}, more: []figure{rate, p50, p99}, bars: both(bar{share, 60}),
		}}, own: true},
		{name: "bulk", run: bulk, rows: []row{{
			name: "bulk", title: "submit 100,000 as lines of one request",
			figures: []figure{rate}, bars: map[string][]bar{"synced": {{rate, 40_000}}},
		}}, own: true},
		{name: "finish", run: finish, rows: []row{{
			name: "finish", title: "submit and finish all of 50,000, 256 connections (latency: of the submit)",
			figures: []figure{rate}, more: latencies, bars: rates(9_000, 18_000), compared: true,
		}}},
		{name: "keyed", run: keyed, rows: []row{{
			name: "keyed", title: "submit and finish 50,000 of 1,000 keys, each key's in order and one at a time, 256 connections (latency: of the submit)",
			figures: []figure{rate}, more: latencies, bars: rates(3_000, 3_000),
		}}},
		{name: "drain", run: drain, rows: []row{
			{
				name: "drain", title: "drain 100,000 queued",
				figures: []figure{rate}, bars: rates(25_000, 40_000), compared: true,
			},
			{
				name: "draining", title: "resident memory, draining 100,000",
				figures: []figure{memory}, bars: both(bar{memory, 200}),
			},
		}},
		{name: "latency", run: latency, rows: []row{{
			name: "latency", title: "submit to result at 100/s",
			figures: latencies, bars: both(bar{p50, 3}, bar{p99, 10}),
		}}},
		{name: "idle", run: idle, rows: []row{{
			name: "idle", title: "resident memory, idle",
			figures: []figure{memory}, bars: both(bar{memory, 45}),
		}}, command: true},
		{name: "start", run: coldStart, rows: []row{{
			name: "start", title: "cold start to first finished order",
			figures: []figure{seconds}, bars: both(bar{seconds, 0.3}),
		}}, command: true},
		{name: "batch", run: batches, rows: []row{{
			name: "batch", title: "drain 100,000 with a handler of 500 at once, of that one by one",
			figures: []figure{factor}, bars: both(bar{factor, 1.5}),
		}}, own: true},
		{name: "later", run: dueAtOnce, rows: []row{
			{
				name: "later", title: "100,000 due in the same second: until all are in their queue",
				figures: []figure{seconds}, bars: map[string][]bar{"synced": {{seconds, 30}}, "1s": {{seconds, 5}}},
			},
			{
				name: "beside", title: "rate of submissions meanwhile, 64 connections, of that before",
				figures: []figure{share}, bars: both(bar{share, 60}),
			},
		}, own: true},
		{name: "schedules", run: schedules, rows: []row{
			{
				name: "schedules", title: "100,000 schedules due in one minute: the latest task comes so long after its time",
				figures: []figure{seconds}, bars: both(bar{seconds, 10}),
			},
			{
				name: "schedulesMade", title: "schedules written down, 64 connections",
				figures: []figure{rate}, more: latencies,
			},
		}, own: true},
		{name: "storm", run: storm, rows: []row{
			{
				name: "storm", title: "p99 wait of tasks beside 20,000 that have failed and wait 30 s, of that without them",
				figures: []figure{times}, more: []figure{p99}, bars: both(bar{times, 1.5}),
			},
			{
				name: "stormBack", title: "the same, from when those are tried again",
				figures: []figure{times}, more: []figure{p99}, bars: both(bar{times, 1.5}),
			},
		}, own: true},
		{name: "flash", run: flash, rows: []row{{
			name: "flash", title: "20,000 orders of the same goods, of which there are 1,000: placed and decided, 256 connections, 4 workers",
			figures: []figure{rate}, more: latencies, bars: map[string][]bar{"synced": {{rate, 4_000}}},
		}}, own: true},
		{name: "ordinary", run: ordinary, rows: []row{{
			name: "ordinary", title: "20,000 orders of 5 lines over 2,000 SKUs: placed and decided, 256 connections, 4 workers",
			figures: []figure{rate}, more: latencies, bars: map[string][]bar{"synced": {{rate, 3_000}}},
		}}, own: true},
		{name: "watch", run: watchers, rows: []row{
			{
				name: "watch", title: "1,000 clients watch 200 orders a second: from when something happened to when each has seen it",
				figures: latencies, bars: both(bar{p99, 250}),
			},
			{
				name: "watchMemory", title: "resident memory meanwhile",
				figures: []figure{memory}, bars: both(bar{memory, 250}),
			},
		}, own: true},
		{name: "find", run: find, rows: []row{
			{
				name: "find", title: "of 1,000,000 finished tasks, list the newest 100 with a tag that one in a hundred has",
				figures: latencies, bars: both(bar{p99, 300}),
			},
			{
				name: "findMemory", title: "more resident memory meanwhile",
				figures: []figure{memory}, bars: both(bar{memory, 100}),
			},
			{
				name: "findNone", title: "and those with a tag that none has: each of all its pages",
				figures: latencies, bars: both(bar{p99, 300}),
			},
			{
				name: "findNoneMemory", title: "more resident memory meanwhile",
				figures: []figure{memory},
			},
		}},
		{name: "overview", run: overview, rows: []row{
			{
				name: "overview", title: "the dashboard's overview, with 1,000,000 finished tasks and 100,000 pending",
				figures: latencies, bars: both(bar{p99, 150}),
			},
			{
				name: "overviewMemory", title: "more resident memory after it was seen 100 times, with what is not collected yet",
				figures: []figure{memory},
			},
		}, own: true},
		{name: "dashboards", run: dashboards, rows: []row{{
			name: "dashboards", title: "rate of submissions while 200 have the overview open, 64 connections, of that with none",
			figures: []figure{share}, bars: both(bar{share, 90}),
		}}, own: true},
		{name: "million", run: million, rows: []row{
			{
				name: "million", title: "1,000,000 queued: rate of submissions, 64 connections, of that with none",
				figures: []figure{share}, bars: both(bar{share, 80}),
			},
			{
				name: "millionDrain", title: "1,000,000 queued: rate of draining, of that with 100,000",
				figures: []figure{share}, bars: both(bar{share, 80}),
			},
			{
				name: "millionMemory", title: "1,000,000 queued: more resident memory",
				figures: []figure{memory}, bars: both(bar{memory, 400}),
			},
			{
				name: "millionStart", title: "1,000,000 queued: restart to ready",
				figures: []figure{seconds}, bars: both(bar{seconds, 5}),
			},
		}, own: true},
	}
}

// scale is how much of each a run does.
type scale struct {
	warmup, submit       time.Duration
	warmupTasks          int
	finish, drain, keyed int
	latency              int // jobs
	settle               time.Duration
	later                int           // tasks that are due in the same second
	laterIn              time.Duration // when they are
	schedules            int           // schedules that are due within schedulesOver
	schedulesIn          time.Duration // when the first are, from before they are written down
	schedulesOver        time.Duration
	failing              int
	beside               int // tasks that succeed beside those that fail
	million              int
	orders               int // placed
	watchers             int // clients of the feed
	watched              int // orders that they see
	dashboards           int // that are open
}

var (
	full = scale{
		warmup: time.Second, submit: 3 * time.Second, warmupTasks: 1000,
		finish: 50_000, keyed: 50_000, drain: 100_000, latency: 1000, settle: 3 * time.Second,
		schedules: 100_000, schedulesIn: 70 * time.Second, schedulesOver: time.Minute,
		later: 100_000, laterIn: 20 * time.Second, failing: 20_000, beside: 5000, million: 1_000_000,
		orders: 20_000, watchers: 1000, watched: 3000, dashboards: 200,
	}
	short = scale{
		warmup: 200 * time.Millisecond, submit: 500 * time.Millisecond, warmupTasks: 200,
		finish: 2000, keyed: 2000, drain: 3000, latency: 100, settle: 200 * time.Millisecond,
		schedules: 1000, schedulesIn: 4 * time.Second, schedulesOver: 3 * time.Second,
		later: 1000, laterIn: 2 * time.Second, failing: 200, beside: 200, million: 5000,
		orders: 2000, watchers: 50, watched: 200, dashboards: 20,
	}
)
