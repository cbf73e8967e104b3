package load

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Watch is many clients of one stream of Server-Sent Events. An event's latency is
// from the time that it says itself, under "at", to when a client has read it.
type Watch struct {
	Addr, Path string
	Clients    int
}

// Watching are clients at it.
type Watching struct {
	conns   []net.Conn
	results []Result
	seen    []atomic.Int64
	running sync.WaitGroup
}

// Start connects all clients. They have had the beginning of their answers when it
// returns.
func (w Watch) Start() (*Watching, error) {
	s := &Watching{results: make([]Result, w.Clients), seen: make([]atomic.Int64, w.Clients)}
	for i := range w.Clients {
		conn, err := net.Dial("tcp", w.Addr)
		if err != nil {
			s.Stop()
			return nil, fmt.Errorf("client %d of %d: %w", i+1, w.Clients, err)
		}
		s.conns = append(s.conns, conn)
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", w.Path); err != nil {
			s.Stop()
			return nil, err
		}
		buf := make([]byte, 32<<10)
		n, err := conn.Read(buf)
		if err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200")) {
			s.Stop()
			return nil, fmt.Errorf("client %d was answered %.200q, %w", i+1, buf[:n], err)
		}
		s.running.Go(func() { s.watch(i, conn, buf) })
	}
	return s, nil
}

// Seen is how many events the client has seen that has seen the fewest.
func (s *Watching) Seen() int {
	fewest := s.seen[0].Load()
	for i := range s.seen {
		fewest = min(fewest, s.seen[i].Load())
	}
	return int(fewest)
}

// Stop disconnects all and returns what they found out.
func (s *Watching) Stop() *Result {
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.running.Wait()
	total := &Result{}
	for i := range s.results {
		total.merge(&s.results[i])
	}
	return total
}

var atKey = []byte(`"at":"`)

const atLen = len("2006-01-02T15:04:05.000000000Z")

func (s *Watching) watch(i int, conn net.Conn, buf []byte) {
	held := 0
	for {
		n, err := conn.Read(buf[held:])
		if err != nil {
			return
		}
		now := time.Now()
		rest := buf[:held+n]
		for {
			at := bytes.Index(rest, atKey)
			if at < 0 || len(rest) < at+len(atKey)+atLen {
				break
			}
			rest = rest[at+len(atKey):]
			end := bytes.IndexByte(rest, '"')
			said, err := time.Parse(time.RFC3339Nano, string(rest[:max(end, 0)]))
			if err != nil {
				s.results[i].fail(err)
				return
			}
			s.results[i].Answers++
			s.results[i].Latency.Add(now.Sub(said))
			s.seen[i].Add(1)
		}
		// What is not wholly there yet begins the next look.
		if keep := len(atKey) + atLen - 1; len(rest) > keep {
			rest = rest[len(rest)-keep:]
		}
		held = copy(buf, rest)
	}
}
