package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"millrace/bench/workload"
)

// bulk sends as many submissions as are drained elsewhere as lines of one request,
// with the worker not started, and stops the clock with the last answer.
func bulk(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found, err := b.with(ctx, c, func(sys *system) (figures, error) {
		if err := sendLines(ctx, sys.Addr, b.scale.warmupTasks); err != nil {
			return nil, err
		}
		m, err := sys.meter()
		if err != nil {
			return nil, err
		}
		n := b.scale.drain
		start := time.Now()
		if err := sendLines(ctx, sys.Addr, n); err != nil {
			return nil, err
		}
		took := time.Since(start)
		used, err := m.stop()
		if err != nil {
			return nil, err
		}
		if queued, err := sys.Queued(); err != nil || queued != n+b.scale.warmupTasks {
			return nil, fmt.Errorf("%d tasks are queued, %w", queued, err)
		}
		return used.add(figures{rate.name: float64(n) / took.Seconds()}), nil
	})
	return map[string]figures{"bulk": found}, err
}

// sendLines submits n tasks with one request, and looks at each answer.
func sendLines(ctx context.Context, addr string, n int) error {
	line := append(workload.Body(), '\n')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/tasks/bulk", bytes.NewReader(bytes.Repeat(line, n)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(resp.Body)
		return expect(http.StatusOK, resp.StatusCode, data)
	}
	answers := bufio.NewScanner(resp.Body)
	for line := 1; answers.Scan(); line++ {
		if want := fmt.Appendf(nil, `{"line":%d,"status":202,`, line); !bytes.HasPrefix(answers.Bytes(), want) {
			return fmt.Errorf("line %d of the answer is %s", line, answers.Bytes())
		}
		n--
	}
	if n != 0 {
		return fmt.Errorf("%d answers are missing", n)
	}
	return answers.Err()
}
