package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/streams"
	"millrace/test/broker"
)

// stream sends lines as they come, and answers as they come to each. The error is that
// of the answer, which the request's own does not end.
func (h bulkHost) stream(lines io.Reader, each func(a lineAnswer)) error {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.url+bulkPath, lines)
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaLines)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answers := bufio.NewScanner(resp.Body)
	for answers.Scan() {
		var a lineAnswer
		if err := json.Unmarshal(answers.Bytes(), &a); err != nil {
			return fmt.Errorf("%s: %w", answers.Bytes(), err)
		}
		each(a)
	}
	return answers.Err()
}

// The gateway is told to stop in the middle of a body that has no end. What it has
// answered with 202 is there, the line that it does not look at any more has 503, and
// nothing is beyond that. Elsewhere the same lines are done once.
func TestBulkWhileTheGatewayStops(t *testing.T) {
	store := newStore(t)
	h, stop := hostBulk(t, store, Config{})
	line := func(n int) string { return fmt.Sprintf(`{"id":"t%d","kind":"k"}`+"\n", n) }
	read, lines := io.Pipe()
	sending := make(chan int, 1)
	go func() {
		n := 0
		for {
			if _, err := io.WriteString(lines, line(n+1)); err != nil {
				break
			}
			n++
		}
		sending <- n
	}()
	var last lineAnswer
	stopping := make(chan bool)
	err := h.stream(read, func(a lineAnswer) {
		if a.Line != last.Line+1 || last.Status >= 300 {
			t.Errorf("%+v comes after %+v", a, last)
		}
		if last = a; a.Line == 1000 {
			go func() {
				defer close(stopping)
				stop()
			}()
		}
	})
	if err != nil || last.Status != http.StatusServiceUnavailable || last.Line <= 1000 {
		t.Fatalf("the last answer is %+v, then %v", last, err)
	}
	read.Close()
	<-stopping
	sent := <-sending
	taken := last.Line - 1
	if n, err := store.LastSequence(t.Context(), "default"); err != nil || n != uint64(taken) || sent < taken {
		t.Errorf("%d lines were sent, %d taken, and %d are there: %v", sent, taken, n, err)
	}

	again, _ := hostBulk(t, store, Config{})
	var all bytes.Buffer
	total := taken + 500
	for i := range total {
		all.WriteString(line(i + 1))
	}
	answered := 0
	if err := again.stream(&all, func(a lineAnswer) {
		answered++
		if a.Status != http.StatusAccepted || a.Line != answered || a.Replayed != (a.Line <= taken) {
			t.Errorf("%+v", a)
		}
	}); err != nil || answered != total {
		t.Errorf("%d of %d answers, %v", answered, total, err)
	}
	if n, err := store.LastSequence(t.Context(), "default"); err != nil || n != uint64(total) {
		t.Errorf("%d tasks are %d messages, %v", total, n, err)
	}
}

// A long body, and its answers, are not in memory: though most of 300,000 lines name a
// queue that there is not, which spares the test the broker's work.
func TestBulkMemoryCampaign(t *testing.T) {
	store, err := streams.Open(t.Context(), streams.Config{InProcess: broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	h, _ := hostBulk(t, store, Config{BulkLimit: 1 << 30})
	n, some := 300_000, 30_000
	if testing.Short() {
		n, some = 100_000, 20_000
	}
	args := strings.Repeat("x", 250)
	body := &lineMaker{n: n, line: func(i int) string {
		queue := "nope"
		if i%100 == 0 {
			queue = millrace.DefaultQueue
		}
		return fmt.Sprintf(`{"id":"t%d","kind":"k","queue":%q,"args":%q}`+"\n", i, queue, args)
	}}
	var in []uint64 // memory, as it was now and then
	answered := 0
	if err := h.stream(body, func(a lineAnswer) {
		if answered++; a.Line != answered || (a.Status == http.StatusAccepted) != (a.Line%100 == 0) {
			t.Fatalf("%+v is answer %d", a, answered)
		}
		if answered%some == 0 {
			runtime.GC() // meanwhile all others come to wait for this reader, and what they
			runtime.GC() // threw away while the first one ran is gone with the second
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			in = append(in, m.HeapAlloc)
		}
	}); err != nil || answered != n {
		t.Fatalf("%d answers, %v", answered, err)
	}
	// The body has up to 90 MB, the answers 35.
	// What piles up is in all of the later ones.
	if grown := (int64(slices.Min(in[len(in)/2:])) - int64(in[0])) >> 20; grown > 24 {
		t.Errorf("with %d lines more, %d MiB more were in memory", n-some, grown)
	}
}

// lineMaker is a body of n lines that are made when they are read.
type lineMaker struct {
	n, made int
	line    func(int) string
	rest    string
}

func (m *lineMaker) Read(p []byte) (int, error) {
	var n int
	for n < len(p) {
		if m.rest == "" {
			if m.made == m.n {
				break
			}
			m.made++
			m.rest = m.line(m.made)
		}
		copied := copy(p[n:], m.rest)
		n, m.rest = n+copied, m.rest[copied:]
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
