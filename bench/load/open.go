package load

import (
	"runtime"
	"sync"
	"time"
)

// Open is a run in which a job is due every so often, whatever became of those
// before it. A job's latency counts from when it was due: if it had to wait for a
// connection, or if this process was late, that is part of it. So a stall of the
// server shows in every job that fell into it, and not just in one.
type Open struct {
	Addr        string
	Connections int
	Rate        int // jobs a second
	Count       int
	// Job does job i on a connection. It is called on many at once.
	Job func(conn *Conn, i int) error
}

type due struct {
	job int
	at  time.Time
}

// Run connects, and then does the jobs.
func (o Open) Run() (*Result, error) {
	conns, err := dialAll(o.Addr, o.Connections)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	jobs := make(chan due, o.Count) // so that the clock never waits
	results := make([]Result, len(conns))
	var running sync.WaitGroup
	for i, conn := range conns {
		running.Go(func() {
			for d := range jobs {
				if err := o.Job(conn, d.job); err != nil {
					results[i].fail(err)
					continue
				}
				results[i].Answers++
				results[i].Latency.Add(time.Since(d.at))
			}
		})
	}
	start := time.Now()
	o.tick(jobs, start)
	running.Wait()
	total := &Result{Took: time.Since(start)}
	for i := range results {
		total.merge(&results[i])
	}
	return total, nil
}

// tick sleeps in a thread of its own: Go's timers are up to a millisecond late
// in an idle process, which is as long as what we want to measure.
func (o Open) tick(jobs chan<- due, start time.Time) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := range o.Count {
		at := start.Add(time.Duration(i) * time.Second / time.Duration(o.Rate))
		sleepUntil(at)
		jobs <- due{i, at}
	}
	close(jobs)
}
