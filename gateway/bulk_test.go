package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace/streams"
)

// bulkHost is a gateway without a worker.
type bulkHost struct {
	*testing.T
	url, addr string
	store     *streams.Store
}

func newBulkHost(t *testing.T, cfg Config) bulkHost {
	t.Helper()
	h, _ := hostBulk(t, newStore(t), cfg)
	return h
}

// hostBulk starts a gateway on that store, until the end of the test or until stop is
// called.
func hostBulk(t *testing.T, store *streams.Store, cfg Config) (h bulkHost, stop func()) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	g, err := New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return bulkHost{t, "http://" + g.Addr().String(), g.Addr().String(), store}, stop
}

// send sends lines and returns the answer.
func (h bulkHost) send(path, lines string, header ...string) (*http.Response, string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.url+path, strings.NewReader(lines))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaLines)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatalf("%s: %v", data, err)
	}
	return resp, string(data)
}

// answers are the lines of an answer in short: line, status, id and what else is there.
func (h bulkHost) answers(text string) []string {
	h.Helper()
	var short []string
	for line := range strings.Lines(text) {
		var a lineAnswer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			h.Fatalf("%s: %v", line, err)
		}
		s := fmt.Sprint(a.Line, " ", a.Status, " ", a.ID, " ", a.State)
		if a.Replayed {
			s += " replayed"
		}
		if a.Error != "" {
			s += a.Error
		}
		short = append(short, s)
	}
	return short
}

func (h bulkHost) want(got string, want ...string) {
	h.Helper()
	if diff := cmp.Diff(want, h.answers(got)); diff != "" {
		h.Errorf("-want +got\n%s", diff)
	}
}

func (h bulkHost) exists(id string) bool {
	h.Helper()
	_, err := h.store.Lookup(h.Context(), id)
	return err == nil
}

func TestBulk(t *testing.T) {
	h := newBulkHost(t, Config{})
	lines := strings.Join([]string{
		"\xef\xbb\xbf" + `{"id":"a","kind":"mail.send","args":{"n":1}}`,
		``,
		"  {\"id\": \"b\", \"kind\": \"mail.send\", \"tags\": [\"x\"]}\r",
		`{"id":"a","kind":"mail.send","args":{"n":2}}`,
		`{"id":"c"}`,
		`{"id":"c","kind":"mail.send","tgas":[]}`,
		`{"id":"c","kind":"mail.send","args":{"n":1,"n":2}}`,
		`{"id":"c","kind":"mail.send","queue":"nope"}`,
		`{"id":"c","kind":"mail.send","delay":"1x"}`,
		`{"id":"c.c","kind":"mail.send"}`,
		`[]`,
		`{"id":"c","kind":"mail.send"`,
		`{"id":"later","kind":"mail.send","delay":"1h"}`,
		`{"id":"` + strings.Repeat("c", 300<<10) + `","kind":"mail.send"}`,
		`{"id":"last","kind":"mail.send","max_attempts":2,"queue":"bulk"}`,
	}, "\n")
	resp, got := h.send("/v1/tasks/bulk", lines)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != mediaLines {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, got)
	}
	want := []string{
		"1 202 a pending",
		"3 202 b pending",
		"4 409 a the id a is taken by another task",
		"5 422  expected required property kind to be present",
		"6 422  tgas: unexpected property",
		`7 422  duplicate key "n", at byte 43`,
		`8 422 c there is no queue "nope"; the queues are critical, default, bulk`,
		`9 422 c delay: must be a duration, as in "30s", "5m" or "1h30m"`,
		"10 422  id: expected string to match pattern ^[A-Za-z0-9_-]+$",
		"11 422  expected object",
		"12 422  the text ends before the value does, at byte 28",
		"13 202 later scheduled",
		"14 413  A line may have 262144 bytes at most.",
		"15 202 last pending",
	}
	h.want(got, want...)
	for id, there := range map[string]bool{"a": true, "b": true, "c": false, "later": true, "last": true} {
		if h.exists(id) != there {
			t.Errorf("%s is there: %v", id, !there)
		}
	}
	// The same again is done once.
	_, again := h.send("/v1/tasks/bulk", lines)
	for i, line := range want {
		if strings.Contains(line, " 202 ") {
			want[i] += " replayed"
		}
	}
	h.want(again, want...)
}

func TestBulkMakesIDs(t *testing.T) {
	h := newBulkHost(t, Config{})
	lines := strings.Repeat(`{"kind":"mail.send"}`+"\n", 3)
	seen := map[string]int{}
	for range 2 {
		for _, key := range []string{"", "monday"} {
			_, got := h.send("/v1/tasks/bulk", lines, "Idempotency-Key", key)
			for line := range strings.Lines(got) {
				var a lineAnswer
				if err := json.Unmarshal([]byte(line), &a); err != nil || a.Status != 202 {
					t.Fatal(line, err)
				}
				seen[a.ID]++
			}
		}
	}
	once, twice := 0, 0
	for _, n := range seen {
		switch n {
		case 1:
			once++
		case 2:
			twice++
		}
	}
	if once != 6 || twice != 3 {
		t.Errorf("%d ids once, %d twice", once, twice)
	}
}

// raw opens a request whose body is sent in pieces.
func (h bulkHost) raw(head ...string) (net.Conn, *bufio.Reader) {
	h.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		h.Fatal(err)
	}
	h.put(conn, "POST /v1/tasks/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"+strings.Join(head, "\r\n")+"\r\n\r\n")
	return conn, bufio.NewReader(conn)
}

func (h bulkHost) put(conn net.Conn, text string) {
	h.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		h.Fatal(err)
	}
}

func inChunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

func TestBulkAnswersWhileItReads(t *testing.T) {
	h := newBulkHost(t, Config{})
	conn, r := h.raw("Transfer-Encoding: chunked")
	h.put(conn, inChunk(`{"id":"a","kind":"k"}`+"\n"+`{"id":"b",`))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewReader(resp.Body)
	for i, rest := range []string{`"kind":"k"}` + "\n", `{"id":"c","kind":"k"}` + "\r\n\n", ""} {
		line, err := answers.ReadString('\n')
		if want := fmt.Sprintf(`{"line":%d,"status":202,"id":"%c","state":"pending"}`+"\n", i+1, 'a'+i); line != want || err != nil {
			t.Fatalf("%q instead of %q: %v", line, want, err)
		}
		h.put(conn, inChunk(rest))
	}
	if rest, err := io.ReadAll(answers); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

func TestBulkIsBrokenOff(t *testing.T) {
	h := newBulkHost(t, Config{})
	for name, head := range map[string]string{"length": "Content-Length: 1000", "chunked": "Transfer-Encoding: chunked"} {
		conn, r := h.raw(head)
		body := `{"id":"a` + name + `","kind":"k"}` + "\n" + `{"id":"b` + name + `","kind":"k"}` // whole, but who knows
		if name == "chunked" {
			body = inChunk(body)
		}
		h.put(conn, body)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(resp.Body)
		if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "202") {
			t.Fatal(line, err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(answers)
		if len(rest) > 0 || err == nil {
			t.Errorf("%s: the answer goes on with %q, and is not broken off: %v", name, rest, err)
		}
		resp.Body.Close()
		if !h.exists("a"+name) || h.exists("b"+name) {
			t.Errorf("%s: a is there: %v, b is there: %v", name, h.exists("a"+name), h.exists("b"+name))
		}
	}
}

func TestBulkLimits(t *testing.T) {
	h := newBulkHost(t, Config{BulkLimit: 100})
	line := `{"id":"a","kind":"k"}` + "\n"
	resp, got := h.send("/v1/tasks/bulk", strings.Repeat(line, 10))
	if resp.StatusCode != 413 || h.exists("a") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	conn, r := h.raw("Transfer-Encoding: chunked")
	h.put(conn, inChunk(strings.Repeat(line, 10))+"0\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	all := h.answers(string(data))
	if len(all) != 5 || all[3] != "4 202 a pending replayed" || all[4] != "5 413  The body may have 100 bytes at most." {
		t.Errorf("%q", all)
	}
	for _, c := range []struct {
		path, media string
		status      int
	}{
		{"/v1/tasks/bulk", mediaJSON, 415},
		{"/v1/tasks/bulk?atomic=perhaps", mediaLines, 422},
		{"/v1/tasks/bulk?nope=1", mediaLines, 422},
		{"/v1/tasks/bulk", mediaLines, 200},
	} {
		if resp, got := h.send(c.path, line, "Content-Type", c.media); resp.StatusCode != c.status {
			t.Errorf("%s %s: %d %s", c.path, c.media, resp.StatusCode, got)
		}
	}
	if resp, got := h.send("/v1/tasks/bulk", ""); resp.StatusCode != 200 || got != "" {
		t.Errorf("nothing: %d %q", resp.StatusCode, got)
	}
}

// A client that asks first gets the answer before it has sent the body.
func TestBulkExpects(t *testing.T) {
	h := newBulkHost(t, Config{BulkLimit: 100})
	for length, want := range map[int]string{101: "HTTP/1.1 413 Request Entity Too Large\r\n", 22: "HTTP/1.1 100 Continue\r\n"} {
		_, r := h.raw(fmt.Sprint("Content-Length: ", length), "Expect: 100-continue")
		if line, err := r.ReadString('\n'); line != want || err != nil {
			t.Errorf("%d bytes: %q %v", length, line, err)
		}
	}
}

func TestBulkKeepsTheOrder(t *testing.T) {
	h := newBulkHost(t, Config{})
	const n = 3000
	var lines bytes.Buffer
	for i := range n {
		fmt.Fprintf(&lines, `{"id":"t%d","kind":"k","args":"%s"}`+"\n", i, strings.Repeat("x", i%300))
	}
	_, got := h.send("/v1/tasks/bulk", lines.String())
	for i, a := range h.answers(got) {
		if a != fmt.Sprintf("%d 202 t%d pending", i+1, i) {
			t.Fatal(i, a)
		}
	}
	if last, err := h.store.LastSequence(t.Context(), "default"); err != nil || last != n {
		t.Fatal(last, err)
	}
	puller, err := h.store.Pull("default")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; {
		some, err := puller.Next(t.Context(), 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range some {
			if d.Task.ID != fmt.Sprint("t", i) {
				t.Fatalf("%s is at %d", d.Task.ID, i)
			}
			i++
		}
	}
}

func TestBulkAtomic(t *testing.T) {
	h := newBulkHost(t, Config{})
	const path = "/v1/tasks/bulk?atomic=true"
	line := func(id, more string) string { return fmt.Sprintf(`{"id":%q,"kind":"k"%s}`+"\n", id, more) }
	var many strings.Builder
	for i := range 1001 {
		many.WriteString(line(fmt.Sprint("m", i), ""))
	}
	for _, c := range []struct {
		name, lines string
		status      int
		location    string
	}{
		{"a line is wrong", line("a", "") + line("b", `,"nope":1`), 422, "body.lines[2]"},
		{"two queues", line("a", "") + line("b", `,"queue":"bulk"`), 422, "body.lines[2]"},
		{"later", line("a", `,"delay":"1h"`) + line("b", ""), 422, "body.lines[1]"},
		{"an id twice", line("a", "") + "\n" + line("a", ""), 422, "body.lines[3]"},
		{"too many", many.String(), 413, ""},
	} {
		resp, got := h.send(path, c.lines)
		var p wireProblem
		if err := json.Unmarshal([]byte(got), &p); err != nil || resp.StatusCode != c.status || resp.Header.Get("Content-Type") != mediaProblem {
			t.Errorf("%s: %d %s %v", c.name, resp.StatusCode, got, err)
		}
		if c.location != "" && (len(p.Errors) != 1 || p.Errors[0].Location != c.location) {
			t.Errorf("%s: %s", c.name, got)
		}
		if h.exists("a") || h.exists("b") || h.exists("m0") {
			t.Errorf("%s: some of it is there", c.name)
		}
	}
	resp, got := h.send(path, line("a", "")+"\n"+line("b", `,"args":1`))
	if resp.StatusCode != 200 || !h.exists("a") || !h.exists("b") {
		t.Fatalf("%d %s", resp.StatusCode, got)
	}
	h.want(got, "1 202 a pending", "3 202 b pending")
	_, again := h.send(path, line("a", "")+"\n"+line("b", `,"args":1`))
	if again != got {
		t.Errorf("again: %s", again)
	}
	resp, got = h.send(path, line("c", "")+line("b", `,"args":2`))
	if resp.StatusCode != 409 || h.exists("c") || !strings.Contains(got, "body.lines[2]") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	// What is there, as it is, does not keep the others from being submitted.
	if resp, got = h.send(path, line("c", "")+line("b", `,"args":1`)); resp.StatusCode != 200 || !h.exists("c") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	if resp, got := h.send(path, ""); resp.StatusCode != 200 || got != "" {
		t.Errorf("nothing: %d %q", resp.StatusCode, got)
	}
}

// What is read by hand is what would have been read.
func FuzzPlainLine(f *testing.F) {
	for _, line := range []string{
		`{"id":"a","kind":"mail.send","queue":"bulk","args":{"n":[1,2]},"tags":["x","y z"]}`,
		`{"kind":"k","args":null}`, `{"kind":"k","tags":[]}`, `{"kind":"k","args":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
		`{"kind":"k","kind":"l"}`, `{"kind":"k"} x`, `{"id":"","kind":"k"}`, `{"kind":"k","tags":["\u0041"]}`, `{"kind":"a.b.c.d.e"}`,
	} {
		f.Add([]byte(line))
	}
	lines := newLineReader[bulkBody]()
	f.Fuzz(func(t *testing.T, line []byte) {
		var plain, body bulkBody
		if !readPlain(bytes.Clone(line), &plain) {
			return
		}
		if err := lines.read(line, &body); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if diff := cmp.Diff(body, plain); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	})
}
