package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/embedded"
	"millrace/streams"
	"millrace/test/broker"
)

// feeding is a gateway on a server that can go away and come back.
type feeding struct {
	t      *testing.T
	broker *broker.Broker
	store  *streams.Store
	g      *Gateway
	url    string
	stop   func() // the gateway
	client *http.Client
}

func newFeeding(t *testing.T, cfg Config) *feeding {
	t.Helper()
	f := &feeding{t: t, broker: broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute}), client: &http.Client{Transport: &http.Transport{}}}
	var err error
	if f.store, err = streams.Open(t.Context(), streams.Config{InProcess: f.broker}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.store.Close)
	cfg.Listen = "127.0.0.1:0"
	if f.g, err = New(f.store, cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.g.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		f.stop()
	})
	f.url = "http://" + f.g.Addr().String()
	return f
}

// happen writes an event of an order, and the order if it is the first.
func (f *feeding) happen(order string, numbers ...int) {
	f.t.Helper()
	for _, n := range numbers {
		var writes []streams.Write
		if n == 1 {
			writes = []streams.Write{{Key: "order." + order, Value: fmt.Appendf(nil, `{"id":%q,"state":"placed","history":[{"state":"placed"}]}`, order)}}
		}
		if _, err := f.store.Ledger().Commit(f.t.Context(), writes, []streams.Event{testEvent(order, n)}); err != nil {
			f.t.Fatal(err)
		}
	}
}

func testEvent(order string, n int) streams.Event {
	return streams.Event{OrderID: order, Number: n, Data: fmt.Appendf(nil, `{"order_id":%q,"n":%d}`, order, n)}
}

// watcher is a client of a stream.
type watcher struct {
	t    *testing.T
	resp *http.Response
	r    *bufio.Reader
	id   string // of the last event
}

// watch opens a stream; an id that is not empty is its Last-Event-ID.
func (f *feeding) watch(path, id string) *watcher {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.url+path, http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	if id != "" {
		req.Header.Set("Last-Event-ID", id)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		f.t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
	}
	return &watcher{t: f.t, resp: resp, r: bufio.NewReader(resp.Body), id: id}
}

func (w *watcher) close() { w.resp.Body.Close() }

// next reads the next event, and what else comes before it: "order/number".
func (w *watcher) next() (event string, err error) {
	var data string
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case field == "id":
			w.id = value
		case field == "data":
			data += value
		case line == "\n" && data != "":
			var e struct {
				OrderID string `json:"order_id"`
				N       int    `json:"n"`
			}
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return "", fmt.Errorf("%s: %w", data, err)
			}
			return fmt.Sprintf("%s/%d", e.OrderID, e.N), nil
		}
	}
}

// expect reads events that must come in that order.
func (w *watcher) expect(want ...string) {
	w.t.Helper()
	for _, name := range want {
		if got, err := w.next(); got != name || err != nil {
			w.t.Fatalf("got %q, %v; want %s", got, err, name)
		}
	}
}

func TestWatch(t *testing.T) {
	f := newFeeding(t, Config{})
	f.happen("a", 1, 2)
	everything, fromNow := f.watch("/v1/orders/events?after=0", ""), f.watch("/v1/orders/events", "")
	onlyA := f.watch("/v1/orders/a/events", "")
	onlyA.expect("a/1", "a/2")
	f.happen("b", 1)
	f.happen("a", 3)
	everything.expect("a/1", "a/2", "b/1", "a/3")
	fromNow.expect("b/1", "a/3")
	onlyA.expect("a/3")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := onlyA.resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}

	// A client that comes again misses nothing and sees nothing twice, also if it had
	// seen nothing yet.
	unused := f.watch("/v1/orders/events", "")
	if line, err := unused.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "retry: ") {
		t.Errorf("%q, %v", line, err)
	}
	if line, err := unused.r.ReadString('\n'); err != nil || line != "id: "+fromNow.id+"\n" {
		t.Errorf("%q, %v; want the id %s", line, err, fromNow.id)
	}
	for _, w := range []*watcher{everything, fromNow, onlyA, unused} {
		w.close()
	}
	f.happen("c", 1)
	f.happen("a", 4)
	f.watch("/v1/orders/events", fromNow.id).expect("c/1", "a/4")
	f.watch("/v1/orders/events?after=0", fromNow.id).expect("c/1", "a/4") // the header counts
	again := f.watch("/v1/orders/a/events", onlyA.id)
	again.expect("a/4")
	f.happen("a", 5)
	again.expect("a/5")
}

// The clients of a stream that are held up by the broker go on when it is back.
func TestWatchAcrossARestart(t *testing.T) {
	f := newFeeding(t, Config{})
	f.happen("a", 1)
	all, one := f.watch("/v1/orders/events?after=0", ""), f.watch("/v1/orders/a/events", "")
	all.expect("a/1")
	one.expect("a/1")
	f.broker.Stop()
	f.broker.Start()
	f.eventually("the store is back", func() bool { return f.store.Ready(t.Context()) == nil })
	f.happen("a", 2, 3)
	all.expect("a/2", "a/3")
	one.expect("a/2", "a/3")
}

func (f *feeding) eventually(what string, is func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(deadline) {
			f.t.Fatalf("not in 20 seconds: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// However often a client comes and goes, and however much is written meanwhile, by
// many at once, it sees each event once and in order. The window is made so small that
// some of it must be read from the broker.
func TestWatchHasNoGaps(t *testing.T) {
	f := newFeeding(t, Config{})
	f.g.hub.window.limit = 32 << 10
	const writers, orders, events = 5, 20, 50
	var writing sync.WaitGroup
	defer writing.Wait()
	for w := range writers {
		writing.Go(func() {
			for o := range orders {
				for n := range events {
					if _, err := f.store.Ledger().Commit(t.Context(), nil, []streams.Event{testEvent(fmt.Sprintf("%d-%d", w, o), n+1)}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { f.watchAll(i, writers*orders*events) })
	}
	clients.Wait()
	for i := range maxReplays + 2 { // all they want lies before the window
		clients.Go(func() { f.watchAll(i%2, writers*orders*events) })
	}
	clients.Wait()
}

// watchAll watches n events, and all that belong to one order must come in order. The
// more restless a client is, the more often it leaves and comes again.
func (f *feeding) watchAll(restless, n int) {
	numbers, id := map[string]int{}, uint64(0)
	w := f.watch("/v1/orders/events?after=0", "")
	for i := range n {
		if restless > 0 && i%(restless*577) == 576 {
			w.close()
			w = f.watch("/v1/orders/events", w.id)
		}
		name, err := w.next()
		if err != nil {
			f.t.Error(err)
			return
		}
		order, number, _ := strings.Cut(name, "/")
		if number != strconv.Itoa(numbers[order]+1) {
			f.t.Errorf("%s follows event %d", name, numbers[order])
			return
		}
		numbers[order]++
		now, err := strconv.ParseUint(w.id, 10, 64)
		if err != nil || now <= id {
			f.t.Errorf("the id %s follows %d", w.id, id)
			return
		}
		id = now
	}
	w.close()
}

// A client that takes nothing holds up nobody, and costs no more than the window.
func TestWatcherThatTakesNothing(t *testing.T) {
	f := newFeeding(t, Config{})
	f.g.hub.window.limit = 64 << 10
	conn, err := net.Dial("tcp", f.g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request("GET /v1/orders/events?after=0", "")); err != nil {
		t.Fatal(err)
	}
	other := f.watch("/v1/orders/events?after=0", "")
	data := fmt.Appendf(nil, `{"order_id":"big","n":0,"pad":%q}`, strings.Repeat("x", 500<<10))
	for n := range 24 {
		if _, err := f.store.Ledger().Commit(t.Context(), nil, []streams.Event{{OrderID: "big", Number: n + 1, Data: data}}); err != nil {
			t.Fatal(err)
		}
		other.expect("big/0")
	}
	if size := f.g.hub.window.size; size > 600<<10 {
		t.Errorf("the window has %d bytes", size)
	}
	f.stop() // also with a client that takes nothing
}

func TestStopEndsStreams(t *testing.T) {
	f := newFeeding(t, Config{})
	f.happen("a", 1)
	all, one := f.watch("/v1/orders/events", ""), f.watch("/v1/orders/a/events", "")
	one.expect("a/1")
	start := time.Now()
	f.stop()
	for _, w := range []*watcher{all, one} {
		if event, err := w.next(); err != io.EOF {
			t.Errorf("%q, %v", event, err)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	f := newFeeding(t, Config{MaxStreams: 1})
	f.happen("a", 1)
	w := f.watch("/v1/orders/a/events", "")
	resp, body := ask(t, http.MethodGet, f.url+"/v1/orders/events", "")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "5" || body["type"] != "urn:millrace:problem:too-many-streams" {
		t.Errorf("%d %v %v", resp.StatusCode, resp.Header, body)
	}
	w.close() // which shows when there is something to write
	n := 1
	f.eventually("the place is free", func() bool {
		n++
		f.happen("a", n)
		resp, _ := ask(t, http.MethodHead, f.url+"/v1/orders/events", "")
		return resp.StatusCode == http.StatusOK
	})
	f.watch("/v1/orders/events", "") // nor does HEAD take one
}

func TestStreamsThatAreRefused(t *testing.T) {
	f := newFeeding(t, Config{})
	f.happen("a", 1)
	for _, c := range []struct {
		method, path, id string
		status           int
		location         string
	}{
		{"GET", "/v1/orders/nobody/events", "", 404, ""},
		{"GET", "/v1/orders/a%20b/events", "", 422, "path.id"},
		{"GET", "/v1/orders/events", "x", 422, "header.Last-Event-ID"},
		{"GET", "/v1/orders/events", "-1", 422, "header.Last-Event-ID"},
		{"GET", "/v1/orders/events", "99999999999999999999", 422, "header.Last-Event-ID"},
		{"GET", "/v1/orders/events", "4711", 422, "header.Last-Event-ID"},
		{"GET", "/v1/orders/events?after=4711", "", 422, "query.after"},
		{"GET", "/v1/orders/a/events?after=4711", "", 422, "query.after"},
		{"GET", "/v1/orders/events?since=1", "", 422, "query.since"},
		{"HEAD", "/v1/orders/a/events", "", 200, ""},
		{"POST", "/v1/orders/events", "", 405, ""},
	} {
		resp, body := ask(t, c.method, f.url+c.path, "", "Last-Event-ID", c.id)
		location := ""
		if violations, _ := body["errors"].([]any); len(violations) > 0 {
			location, _ = violations[0].(map[string]any)["location"].(string)
		}
		if resp.StatusCode != c.status || location != c.location {
			t.Errorf("%s %s, Last-Event-ID %q: %d %v", c.method, c.path, c.id, resp.StatusCode, body)
		}
	}
}

func TestAppendEvent(t *testing.T) {
	for data, want := range map[string]string{
		`{}`:         "data: {}\n",
		"{\n1\r\n}":  "data: {\ndata: 1\ndata: }\n",
		"{\r}\n":     "data: {\ndata: }\ndata: \n",
		"":           "data: \n",
		"{\r\r\n\n}": "data: {\ndata: \ndata: \ndata: }\n",
	} {
		if got := string(appendEvent(nil, streams.FeedEvent{Sequence: 7, Data: []byte(data)})); got != "id: 7\nevent: order\n"+want+"\n" {
			t.Errorf("%q: %q", data, got)
		}
	}
}

// A stream on which nothing happens is kept alive, whatever else is waited for.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			defer server.Close()
			s := newSSEStream(ctx, server, func() bool { return true })
			for err := s.open(7); err == nil; err = s.wait(nil, time.Second) {
				continue
			}
		}()
		opened, got := time.Now(), make([]byte, 100)
		if n, err := client.Read(got); err != nil || !strings.HasSuffix(string(got[:n]), "\nid: 7\n\n") {
			t.Fatalf("%q, %v", got[:n], err)
		}
		for beat := range 3 {
			n, err := client.Read(got)
			if took := time.Since(opened); string(got[:n]) != ":\n\n" || err != nil || took != time.Duration(beat+1)*heartbeat {
				t.Fatalf("%q, %v, after %s", got[:n], err, took)
			}
		}
	})
}

// Who takes nothing is cut off.
func TestClientThatTakesNothingIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		s, start := newSSEStream(t.Context(), server, func() bool { return true }), time.Now()
		if err := s.write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != writeTime {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}
