package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"millrace/bench/load"
)

// pages is how often the overview is asked for.
const pages = 100

// overview finishes many tasks and queues some more, and asks for the dashboard's first
// page; the memory is what is more than before, when nobody has it open any more.
func overview(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found := map[string]figures{}
	_, err := b.with(ctx, c, func(sys *system) (figures, error) {
		if err := sys.Fill(b.scale.million); err != nil {
			return nil, err
		}
		if err := sys.Work(); err != nil {
			return nil, err
		}
		if err := sys.Await(b.scale.million); err != nil {
			return nil, err
		}
		conn, err := load.Dial(sys.Addr)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		status, body, err := conn.Do(load.Post("/v1/queues/default/pause", nil))
		if err == nil {
			err = expect(http.StatusOK, status, body)
		}
		if err == nil {
			err = sys.Fail(b.scale.drain) // other ids
		}
		if err != nil {
			return nil, err
		}
		time.Sleep(b.scale.settle)
		idle, err := resident(sys.PIDs)
		if err != nil {
			return nil, err
		}
		var took load.Histogram
		for range pages {
			start := time.Now()
			status, body, err := conn.Do(load.AppendGet(nil, "/", ""))
			if err == nil {
				err = expect(http.StatusOK, status, body)
			}
			if err != nil {
				return nil, err
			}
			took.Add(time.Since(start))
		}
		time.Sleep(b.scale.settle)
		after, err := resident(sys.PIDs)
		if err != nil {
			return nil, err
		}
		found["overview"] = figures{p50.name: inMilliseconds(took.Quantile(0.50)), p99.name: inMilliseconds(took.Quantile(0.99))}
		found["overviewMemory"] = figures{memory.name: after - idle}
		return nil, nil
	})
	return found, err
}

// dashboards submits while many have the overview open, and before and after that.
func dashboards(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found, err := b.with(ctx, c, func(sys *system) (figures, error) {
		var rates []float64
		for _, open := range []int{0, b.scale.dashboards, 0} {
			stop, err := openPages(sys.Addr, open)
			if err != nil {
				return nil, err
			}
			run := submission(sys.Addr, 64)
			run.Warmup, run.For = b.scale.warmup, 2*b.scale.submit
			result, err := run.Run()
			if err == nil {
				err = result.Err
			}
			if failed := stop(); err == nil {
				err = failed
			}
			if err != nil {
				return nil, err
			}
			rates = append(rates, result.Rate())
		}
		return figures{share.name: 100 * rates[1] / ((rates[0] + rates[2]) / 2)}, nil
	})
	return map[string]figures{"dashboards": found}, err
}

// openPages opens so many live overviews, and reads what they are sent until stop is
// called. Its error is that one was not sent anything.
func openPages(addr string, n int) (stop func() error, err error) {
	var (
		reading sync.WaitGroup
		conns   []net.Conn
		mu      sync.Mutex
		updated int
	)
	stop = func() error {
		for _, conn := range conns {
			_ = conn.Close()
		}
		reading.Wait()
		if updated < n {
			return fmt.Errorf("of %d pages %d were kept live", n, updated)
		}
		return nil
	}
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			_ = stop()
			return nil, err
		}
		conns = append(conns, conn)
		if _, err := fmt.Fprintf(conn, "GET /live?page=%%2F HTTP/1.1\r\nHost: %s\r\n\r\n", addr); err != nil {
			_ = stop()
			return nil, err
		}
		reading.Go(func() {
			lines, events := bufio.NewReader(conn), 0
			for {
				line, err := lines.ReadSlice('\n')
				if err != nil && err != bufio.ErrBufferFull {
					break
				}
				if string(line) == "event: page\n" {
					events++
				}
			}
			if events > 0 {
				mu.Lock()
				updated++
				mu.Unlock()
			}
		})
	}
	return stop, nil
}
