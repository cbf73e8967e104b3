package otlp_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace"
	"millrace/otlp"
	"millrace/test/collector"
)

// span is one of a trace of its own.
func span(name string) otlp.Span {
	now := time.Now()
	return otlp.Span{Trace: millrace.NewTrace(), Name: name, Kind: otlp.Server, Start: now.Add(-time.Second), End: now}
}

// start runs an exporter, in a bubble, until stop, which returns when it has ended.
func start(t *testing.T, c http.RoundTripper, cfg otlp.Config) (e *otlp.Exporter, stop func()) {
	t.Helper()
	cfg.URL, cfg.Transport = "http://collector.example/v1/traces", c
	e, err := otlp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return e, stop
}

func wantCounts(t *testing.T, e *otlp.Exporter, exported, dropped uint64) {
	t.Helper()
	if e.Exported() != exported || e.Dropped() != dropped {
		t.Errorf("%d exported, %d dropped; want %d, %d", e.Exported(), e.Dropped(), exported, dropped)
	}
}

// What goes over the wire is what was recorded, and who it is from.
func TestSpan(t *testing.T) {
	c := collector.New(t)
	var mu sync.Mutex
	var header http.Header
	c.Answer = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		header = r.Header.Clone()
		return false
	}
	url, err := otlp.TracesURL(c.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	e, err := otlp.New(otlp.Config{URL: url, Headers: map[string]string{"x-key": "k"}, Service: "shop", Resource: []otlp.Attr{otlp.Text("deployment.environment.name", "test")}})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC)
	parent := millrace.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1")
	e.Record(otlp.Span{
		Trace: parent.Child(), Parent: parent.SpanID(), Name: "process \"mail\" \xff", Kind: otlp.Consumer, Start: begin, End: begin.Add(time.Second),
		Attrs: []otlp.Attr{otlp.Text("a", ""), otlp.Number("b", 1<<62), otlp.Number("c", 0)}, Failed: true, Reason: "why",
	})
	e.Record(otlp.Span{Trace: millrace.NewTrace(), Name: "backwards", Kind: otlp.Producer, Start: begin, End: begin.Add(-time.Second)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, e, 2, 0)
	all := c.Spans()
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	s := all[0]
	if s.Trace != parent.TraceID() || s.Parent != parent.SpanID() || s.ID == s.Parent || s.State != "vendor=1" || s.Name != "process \"mail\" \ufffd" ||
		s.Kind != 5 || !s.Start.Equal(begin) || !s.End.Equal(begin.Add(time.Second)) || !s.Failed || s.Message != "why" || s.Service != "shop" {
		t.Errorf("%+v", s)
	}
	if want := map[string]any{"a": "", "b": int64(1 << 62), "c": int64(0)}; !maps.Equal(s.Attrs, want) {
		t.Errorf("%v, want %v", s.Attrs, want)
	}
	if b := all[1]; b.Parent != "" || b.Failed || !b.End.Equal(b.Start) {
		t.Errorf("%+v", b)
	}
	mu.Lock()
	defer mu.Unlock()
	if header.Get("X-Key") != "k" || header.Get("User-Agent") != "Millrace/dev" {
		t.Errorf("%v", header)
	}
	if body := string(c.Bodies()[0]); !strings.Contains(body, `{"key":"deployment.environment.name","value":{"stringValue":"test"}}`) ||
		!strings.Contains(body, `{"key":"b","value":{"intValue":"4611686018427387904"}}`) || !strings.Contains(body, `{"key":"a","value":{"stringValue":""}}`) {
		t.Error(body)
	}
}

// Spans wait for each other for a while, and go as soon as there is a batch.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector.Collector{T: t}
		e, stop := start(t, c, otlp.Config{Batch: 10, Every: time.Minute})
		for i := range 9 {
			e.Record(span(fmt.Sprint(i)))
		}
		synctest.Wait()
		if n := c.Requests(); n != 0 {
			t.Errorf("%d requests for less than a batch", n)
		}
		e.Record(span("10"))
		synctest.Wait()
		wantCounts(t, e, 10, 0)
		e.Record(span("11"))
		time.Sleep(time.Minute)
		synctest.Wait()
		wantCounts(t, e, 11, 0)
		for i := range 25 {
			e.Record(span(fmt.Sprint(i)))
		}
		stop() // the rest goes now
		wantCounts(t, e, 36, 0)
		if n := c.Requests(); n != 5 {
			t.Errorf("%d requests", n)
		}
		e.Record(span("late"))
		wantCounts(t, e, 36, 1)
	})
}

// Nothing is sent of what is not recorded, and nothing at all where there is no exporter.
func TestUnsampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector.Collector{T: t}
		e, stop := start(t, c, otlp.Config{})
		e.Record(otlp.Span{Trace: millrace.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", ""), Name: "unsampled"})
		e.Record(otlp.Span{Name: "of no trace"})
		(*otlp.Exporter)(nil).Record(span("to nobody"))
		stop()
		wantCounts(t, e, 0, 0)
		if n := c.Requests(); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// Where a collector is slow, or down, nobody waits for it: what is too much is dropped.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		c := &collector.Collector{T: t, Answer: func(n int, _ http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				<-leave
			}
			return false
		}}
		e, stop := start(t, c, otlp.Config{Queue: 20, Batch: 10})
		for i := range 10 {
			e.Record(span(fmt.Sprint(i)))
		}
		synctest.Wait() // they are under way
		before := time.Now()
		for i := range 50 {
			e.Record(span(fmt.Sprint(i)))
		}
		if took := time.Since(before); took != 0 { // time goes on only when everybody waits
			t.Errorf("to record took %s", took)
		}
		wantCounts(t, e, 0, 30)
		close(leave)
		stop()
		wantCounts(t, e, 30, 30)
	})
}

// A collector that has no time gets the same again, when it likes, and one that refuses
// does not.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		answer   func(n int, w http.ResponseWriter) bool
		requests int
		exported uint64
		least    time.Duration // until it is taken
		most     time.Duration
	}{
		{"429, then 200", busy(1, 429, "7"), 2, 3, 7 * time.Second, 8 * time.Second},
		{"503 until a date", func(n int, w http.ResponseWriter) bool {
			if n > 1 {
				return false
			}
			return busy(1, 503, time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat))(n, w)
		}, 2, 3, 8 * time.Second, 10 * time.Second},
		{"502 thrice", busy(3, 502, ""), 4, 3, 1750 * time.Millisecond, 3500 * time.Millisecond},
		{"504", busy(1, 504, "soon"), 2, 3, 250 * time.Millisecond, 500 * time.Millisecond},
		{"400", busy(9, 400, "1"), 1, 0, 0, 0},
		{"500", busy(9, 500, ""), 1, 0, 0, 0},
		{"404", busy(9, 404, ""), 1, 0, 0, 0},
		{"a redirect", func(_ int, w http.ResponseWriter) bool {
			w.Header().Set("Location", "http://elsewhere.example/v1/traces")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}, 1, 0, 0, 0},
		{"all but one", says(200, `{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}`), 1, 2, 0, 0},
		{"all but two", says(202, `{"partialSuccess":{"rejectedSpans":2}}`), 1, 1, 0, 0},
		{"more than there were", says(200, `{"partialSuccess":{"rejectedSpans":"99"}}`), 1, 0, 0, 0},
		{"something else", says(200, `<html>`), 1, 3, 0, 0},
		{"nothing", says(200, ""), 1, 3, 0, 0},
		{"always 503", busy(1000, 503, ""), 0, 0, time.Minute, 2 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &collector.Collector{T: t, Answer: func(n int, w http.ResponseWriter, _ *http.Request) bool { return c.answer(n, w) }}
				e, stop := start(t, fake, otlp.Config{Batch: 3, Every: time.Hour})
				begun := time.Now()
				for range 3 {
					e.Record(span("a"))
				}
				for e.Exported()+e.Dropped() < 3 {
					synctest.Wait()
					time.Sleep(time.Millisecond)
				}
				if took := time.Since(begun); took < c.least || took > c.most+2*time.Millisecond {
					t.Errorf("it took %s", took)
				}
				stop()
				wantCounts(t, e, c.exported, 3-c.exported)
				if n := fake.Requests(); c.requests > 0 && n != c.requests {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// busy answers the first requests with a status.
func busy(times, status int, retryAfter string) func(int, http.ResponseWriter) bool {
	return func(n int, w http.ResponseWriter) bool {
		if n > times {
			return false
		}
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		return true
	}
}

func says(status int, body string) func(int, http.ResponseWriter) bool {
	return func(_ int, w http.ResponseWriter) bool {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
}

// gone is a collector that nobody reaches for a time.
type gone struct {
	*collector.Collector
	until time.Time
}

func (g gone) RoundTrip(r *http.Request) (*http.Response, error) {
	if time.Now().Before(g.until) {
		return nil, errors.New("connection refused")
	}
	return g.Collector.RoundTrip(r)
}

// While a collector is down, spans wait; if that is for long, the oldest are given up, and
// it is left alone for as long as it asks even then.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector.Collector{T: t}
		e, stop := start(t, gone{c, time.Now().Add(90 * time.Second)}, otlp.Config{})
		e.Record(span("lost"))
		time.Sleep(80 * time.Second)
		e.Record(span("kept"))
		time.Sleep(time.Minute)
		stop()
		wantCounts(t, e, 1, 1)
		if all := c.Spans(); len(all) != 1 || all[0].Name != "kept" {
			t.Errorf("%+v", all)
		}
	})
}

// At the end the rest is sent, as far as that is possible within the grace.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			down              time.Duration
			exported, dropped uint64
			most              time.Duration
		}{{0, 5, 0, 0}, {700 * time.Millisecond, 5, 0, 1500 * time.Millisecond}, {time.Hour, 0, 5, 5 * time.Second}} {
			fake := &collector.Collector{T: t}
			e, stop := start(t, gone{fake, time.Now().Add(c.down)}, otlp.Config{Batch: 2, Every: time.Hour})
			for range 5 {
				e.Record(span("a"))
			}
			begun := time.Now()
			stop()
			wantCounts(t, e, c.exported, c.dropped)
			if took := time.Since(begun); took > c.most {
				t.Errorf("down for %s: to stop took %s", c.down, took)
			}
		}
		// One that takes the connection and says nothing holds nobody up either.
		hung := &collector.Collector{T: t, Answer: func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}}
		e, stop := start(t, hung, otlp.Config{Every: time.Hour})
		e.Record(span("a"))
		begun := time.Now()
		stop()
		wantCounts(t, e, 0, 1)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("to stop took %s", took)
		}
	})
}
