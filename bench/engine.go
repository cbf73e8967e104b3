package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"millrace/bench/load"
)

// What is measured of the engine: what waits, fails, and piles up. Its peers are not
// asked for the same.

// batches compares a handler of many tasks at once with one that does them one by
// one, neither doing anything.
func batches(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	one, err := drainRate(ctx, b, c, func(sys *system) error { return sys.Work() })
	if err != nil {
		return nil, err
	}
	many, err := drainRate(ctx, b, c, func(sys *system) error { return sys.WorkInBatches(500) })
	if err != nil {
		return nil, err
	}
	return map[string]figures{"batch": {factor.name: many / one}}, nil
}

func drainRate(ctx context.Context, b *bench, c config, work func(*system) error) (float64, error) {
	var took time.Duration
	_, err := b.with(ctx, c, func(sys *system) (figures, error) {
		if err := sys.Fill(b.scale.drain); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := work(sys); err != nil {
			return nil, err
		}
		err := sys.Await(b.scale.drain)
		took = time.Since(start)
		return nil, err
	})
	return float64(b.scale.drain) / took.Seconds(), err
}

// dueAtOnce submits many tasks for the same second, and stops the clock when all of
// them are in their queue. Meanwhile others are submitted, as before.
func dueAtOnce(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found := map[string]figures{}
	_, err := b.with(ctx, c, func(sys *system) (figures, error) {
		n := b.scale.later
		due := time.Now().Add(b.scale.laterIn).Truncate(time.Second)
		if err := sys.Later(n, due); err != nil {
			return nil, err
		}
		quiet := submission(sys.Addr, 64)
		quiet.Warmup, quiet.For = b.scale.warmup, b.scale.submit
		if left := time.Until(due); left < quiet.Warmup+quiet.For {
			return nil, fmt.Errorf("it took so long to submit %d tasks that only %s are left until they are due", n, left)
		}
		before, err := quiet.Run()
		if err == nil {
			err = before.Err
		}
		if err != nil {
			return nil, err
		}
		submitted, err := sys.Queued()
		if err != nil {
			return nil, err
		}
		time.Sleep(time.Until(due.Add(-50 * time.Millisecond)))
		if early, err := sys.Queued(); err != nil || early > submitted {
			return nil, fmt.Errorf("%d tasks came early, %w", early-submitted, err)
		}
		time.Sleep(time.Until(due))

		// Others are submitted until all are there. Those that are due are counted by
		// what is in the log beyond what was answered, so the clock stops at the latest
		// when both agree.
		var during *load.Result
		took := time.Duration(0)
		answered := 0
		for took == 0 {
			busy := submission(sys.Addr, 64)
			busy.For = 200 * time.Millisecond
			if during, err = merged(during, busy); err != nil {
				return nil, err
			}
			answered = during.Answers
			queued, err := sys.Queued()
			if err != nil {
				return nil, err
			}
			// A closed run ends with one answer more for each connection than it counts.
			if queued >= submitted+answered+n {
				took = time.Since(due)
			}
			if time.Since(due) > limit {
				return nil, fmt.Errorf("%d of %d tasks came", queued-submitted-answered, n)
			}
		}
		found["later"] = figures{seconds.name: took.Seconds()}
		found["beside"] = figures{share.name: 100 * during.Rate() / before.Rate()}
		return nil, nil
	})
	return found, err
}

// merged runs and adds up.
func merged(total *load.Result, run load.Closed) (*load.Result, error) {
	r, err := run.Run()
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return nil, err
	}
	if total != nil {
		r.Answers += total.Answers
		r.Took += total.Took
	}
	return r, nil
}

// goodRate is how many tasks a second are submitted beside those that fail, so that
// they last beyond the first of their retries.
const goodRate = 125

// storm compares what tasks wait beside many that fail and wait, with what they wait
// otherwise: while those wait, and from when they are tried again.
func storm(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	alone, _, err := waitOfGood(ctx, b, c, 0)
	if err != nil {
		return nil, err
	}
	waiting, back, err := waitOfGood(ctx, b, c, b.scale.failing)
	if err != nil {
		return nil, err
	}
	return map[string]figures{
		"storm":     {times.name: waiting / alone, p99.name: waiting},
		"stormBack": {times.name: back / alone, p99.name: back},
	}, nil
}

func waitOfGood(ctx context.Context, b *bench, c config, failing int) (waiting, back float64, err error) {
	_, err = b.with(ctx, c, func(sys *system) (figures, error) {
		if err := warmUp(sys, b.scale.warmupTasks); err != nil {
			return nil, err
		}
		if err := sys.Fail(failing); err != nil {
			return nil, err
		}
		// The failing ones have their first attempt behind them when each has a record.
		if err := sys.Await(b.scale.warmupTasks + failing); err != nil {
			return nil, err
		}
		if _, err := sys.Waits(false); err != nil {
			return nil, err
		}
		run := load.Open{Addr: sys.Addr, Connections: 16, Rate: goodRate, Count: b.scale.beside, Job: submitAndWait}
		result, err := run.Run()
		if err == nil {
			err = result.Err
		}
		if err != nil {
			return nil, err
		}
		if waiting, err = sys.Waits(false); err == nil {
			back, err = sys.Waits(true)
		}
		return nil, err
	})
	return waiting, back, err
}

// million looks at what a long queue costs.
func million(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	short, shortDrain, idle, err := depth(ctx, b, c, min(b.scale.drain, b.scale.million), nil)
	if err != nil {
		return nil, err
	}
	var start float64
	long, longDrain, full, err := depth(ctx, b, c, b.scale.million, &start)
	if err != nil {
		return nil, err
	}
	return map[string]figures{
		"million":       {share.name: 100 * long / short},
		"millionDrain":  {share.name: 100 * longDrain / shortDrain},
		"millionMemory": {memory.name: full - idle},
		"millionStart":  {seconds.name: start},
	}, nil
}

// depth measures with n tasks queued: the rate of submissions (with none queued,
// unless it restarts), the rate at which the first are drained, and the memory. If
// restart is not nil the system is restarted in between, and that gets the time.
func depth(ctx context.Context, b *bench, c config, n int, restart *float64) (submits, drains, mib float64, err error) {
	dir, err := os.MkdirTemp(b.dir, c.program+"-")
	if err != nil {
		return 0, 0, 0, err
	}
	defer os.RemoveAll(dir)
	sys, err := b.systemIn(ctx, dir, c)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { sys.halt() }()
	rate := func() (float64, error) {
		run := submission(sys.Addr, 64)
		run.Warmup, run.For = b.scale.warmup, b.scale.submit
		r, err := run.Run()
		if err == nil {
			err = r.Err
		}
		if err != nil {
			return 0, err
		}
		return r.Rate(), nil
	}
	if restart == nil {
		if mib, err = resident(sys.PIDs); err != nil {
			return 0, 0, 0, err
		}
		if submits, err = rate(); err != nil {
			return 0, 0, 0, err
		}
	}
	if err := sys.Fill(n); err != nil {
		return 0, 0, 0, err
	}
	if restart != nil {
		time.Sleep(b.scale.settle)
		if mib, err = resident(sys.PIDs); err != nil {
			return 0, 0, 0, err
		}
		if submits, err = rate(); err != nil {
			return 0, 0, 0, err
		}
		sys.halt()
		start := time.Now()
		if sys, err = b.systemIn(ctx, dir, c); err != nil {
			return 0, 0, 0, err
		}
		*restart = time.Since(start).Seconds() // it says hello when it serves
	}
	some := min(n, b.scale.drain)
	start := time.Now()
	if err := sys.Work(); err != nil {
		return 0, 0, 0, err
	}
	if err := sys.Await(some); err != nil {
		return 0, 0, 0, err
	}
	return submits, float64(some) / time.Since(start).Seconds(), mib, nil
}
