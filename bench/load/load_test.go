package load_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"millrace/bench/load"
)

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// large is more than a connection's buffer holds at first.
const large = 10 << 10

func TestClosedSendsEachRequestOnce(t *testing.T) {
	var seen [100]atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		i, _ := strconv.Atoi(r.URL.Path[1:])
		seen[i].Add(1)
		w.Header().Set("Content-Length", strconv.Itoa(large))
		_, _ = w.Write(make([]byte, large))
	})
	result, err := load.Closed{
		Addr: addr, Connections: 7, Count: len(seen),
		Request: func(buf []byte, i int) []byte { return load.AppendGet(buf, "/", strconv.Itoa(i)) },
		Check: func(i, status int, body []byte) error {
			if status != http.StatusOK || len(body) != large {
				return errors.New("cut")
			}
			return nil
		},
	}.Run()
	if err != nil || result.Errors > 0 || result.Answers != len(seen) || result.Latency.Count() != uint64(len(seen)) {
		t.Fatalf("%d answers, %d errors, %v, %v", result.Answers, result.Errors, result.Err, err)
	}
	for i := range seen {
		if n := seen[i].Load(); n != 1 {
			t.Errorf("request %d came %d times", i, n)
		}
	}
}

func TestClosedCountsBadAnswers(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	result, err := load.Closed{
		Addr: addr, Connections: 2, For: 20 * time.Millisecond,
		Request: func([]byte, int) []byte { return load.Post("/", nil) },
		Check: func(_, status int, _ []byte) error {
			if status != http.StatusAccepted {
				return errors.New("refused")
			}
			return nil
		},
	}.Run()
	if err != nil || result.Errors == 0 || result.Err == nil {
		t.Fatalf("%d answers, %d errors, %v, %v", result.Answers, result.Errors, result.Err, err)
	}
}

// A server that stands still for a while shows in every job that was due meanwhile,
// and not just in the one that it kept waiting.
func TestOpenCountsTheWaitForAStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	var first atomic.Bool
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(false, true) {
			time.Sleep(stall)
		}
	})
	result, err := load.Open{
		Addr: addr, Connections: 1, Rate: 100, Count: 20,
		Job: func(conn *load.Conn, _ int) error {
			_, _, err := conn.Do(load.AppendGet(nil, "/", ""))
			return err
		},
	}.Run()
	if err != nil || result.Answers != 20 {
		t.Fatalf("%d answers, %d errors, %v, %v", result.Answers, result.Errors, result.Err, err)
	}
	if half := result.Latency.Quantile(0.5); half < stall/4 {
		t.Errorf("half of the jobs were done within %s of a stall of %s", half, stall)
	}
}

func TestOtherMachinesAreNotLoaded(t *testing.T) {
	if _, err := load.Dial("192.0.2.1:80"); err == nil {
		t.Fatal("connected")
	}
}

func TestHistogram(t *testing.T) {
	var h load.Histogram
	for i := range 100_000 {
		h.Add(time.Duration(i) * 10 * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second, 0: 0} {
		if got := h.Quantile(q); (got - want).Abs() > want/50+time.Microsecond {
			t.Errorf("quantile %v is %s, not %s", q, got, want)
		}
	}
	h.Add(365 * 24 * time.Hour)
	h.Add(-time.Second)
	if h.Quantile(1) < time.Hour {
		t.Error("the longest is lost")
	}
}
