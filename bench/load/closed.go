package load

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Closed is a run in which each connection waits for an answer before it sends
// the next request.
type Closed struct {
	Addr        string
	Connections int
	// Request appends request i to buf, or returns one that is ready.
	Request func(buf []byte, i int) []byte
	// Check looks at the answer to request i. It is called on many connections
	// at once.
	Check func(i, status int, body []byte) error
	// Count is how many requests to send. Zero means as many as fit into For.
	Count int
	// For is how long to send when Count is zero, after a Warmup that does not
	// count.
	For, Warmup time.Duration
}

// Result is what a run found out. A run with errors is worth nothing: a server
// can refuse faster than it can work.
type Result struct {
	Answers int
	Took    time.Duration
	Latency Histogram
	Errors  int
	// Err is the first of the errors.
	Err error
}

// Rate is answers per second.
func (r *Result) Rate() float64 { return float64(r.Answers) / r.Took.Seconds() }

func (r *Result) fail(err error) {
	r.Errors++
	if r.Err == nil {
		r.Err = err
	}
}

func (r *Result) merge(other *Result) {
	r.Answers += other.Answers
	r.Latency.Merge(&other.Latency)
	r.Errors += other.Errors
	if r.Err == nil {
		r.Err = other.Err
	}
}

// Run connects, and then sends.
func (c Closed) Run() (*Result, error) {
	conns, err := dialAll(c.Addr, c.Connections)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	var next atomic.Int64
	results := make([]Result, len(conns))
	var running sync.WaitGroup
	start := time.Now()
	for i, conn := range conns {
		running.Go(func() { c.drive(conn, &next, start, &results[i]) })
	}
	running.Wait()
	total := &Result{Took: c.For}
	if c.Count > 0 {
		total.Took = time.Since(start)
	}
	for i := range results {
		total.merge(&results[i])
	}
	return total, nil
}

// drive sends on one connection until the run is over or the connection breaks.
func (c Closed) drive(conn *Conn, next *atomic.Int64, start time.Time, r *Result) {
	from, to := start.Add(c.Warmup), start.Add(c.Warmup+c.For)
	var buf []byte
	for sent := time.Now(); ; {
		i := int(next.Add(1) - 1)
		if c.Count > 0 && i >= c.Count {
			return
		}
		request := c.Request(buf[:0], i)
		status, body, err := conn.Do(request)
		if err != nil {
			r.fail(err)
			return
		}
		buf = request
		if err := c.Check(i, status, body); err != nil {
			r.fail(err)
		}
		now := time.Now()
		switch {
		case c.Count > 0:
		case now.After(to):
			return
		case now.Before(from):
			sent = now
			continue
		}
		r.Answers++
		r.Latency.Add(now.Sub(sent))
		sent = now
	}
}

func dialAll(addr string, n int) ([]*Conn, error) {
	var conns []*Conn
	for range n {
		conn, err := Dial(addr)
		if err != nil {
			closeAll(conns)
			return nil, fmt.Errorf("connection %d of %d: %w", len(conns)+1, n, err)
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func closeAll(conns []*Conn) {
	for _, conn := range conns {
		_ = conn.Close()
	}
}
