package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"millrace/streams"
)

const (
	mediaSSE = "text/event-stream"
	// heartbeat is how long a stream may be silent: proxies cut what is, and a client
	// that has left is noticed only when something is written to it.
	heartbeat = 15 * time.Second
	// writeTime is how long a client may take nothing of what is written to it.
	writeTime = 10 * time.Second
)

// appendEvent adds e as a Server-Sent Event, whose id is the place to go on from.
func appendEvent(b []byte, e streams.FeedEvent) []byte {
	b = append(b, "id: "...)
	b = strconv.AppendUint(b, e.Sequence, 10)
	b = append(b, "\nevent: order\n"...)
	data := e.Data
	for more := true; more; { // JSON has one line as a rule, but need not
		end := bytes.IndexAny(data, "\r\n")
		line, rest := data, []byte(nil)
		if more = end >= 0; more {
			line, rest = data[:end], bytes.TrimPrefix(data[end:], []byte("\r"))
			rest = bytes.TrimPrefix(rest, []byte("\n"))
		}
		b = append(append(append(b, "data: "...), line...), '\n')
		data = rest
	}
	return append(b, '\n')
}

// errNoMore: the key that a stream was asked for with has ended.
var errNoMore = errors.New("not allowed any more")

// sseStream is the connection of one client, and a goroutine's own. It has no buffers:
// what is written is shared with others.
type sseStream struct {
	ctx     context.Context // ends it
	allowed func() bool     // whether who asked still may
	conn    net.Conn
	written time.Time
	timer   *time.Timer
}

func newSSEStream(ctx context.Context, conn net.Conn, allowed func() bool) *sseStream {
	return &sseStream{ctx: ctx, conn: conn, allowed: allowed, timer: time.NewTimer(heartbeat)}
}

// open says how soon to come again if the stream ends, not all at once, and after
// which event this one begins: so a client that leaves before the first event misses
// nothing either.
func (s *sseStream) open(after uint64) error {
	return s.write(fmt.Appendf(nil, "retry: %d\nid: %d\n\n", 1000+rand.IntN(2000), after))
}

func (s *sseStream) write(data []byte) error {
	if !s.allowed() {
		return errNoMore
	}
	s.written = time.Now()
	if err := s.conn.SetWriteDeadline(s.written.Add(writeTime)); err != nil {
		return err
	}
	if s.ctx.Err() != nil { // else the deadline that was set for that is gone
		return s.ctx.Err()
	}
	_, err := s.conn.Write(data)
	return err
}

// beat writes something if nothing was for a while.
func (s *sseStream) beat() error {
	if time.Since(s.written) < heartbeat {
		return nil
	}
	return s.write([]byte(":\n\n"))
}

// wait waits for news, at most so long, and keeps the stream alive meanwhile. Its
// error means that the stream is over.
func (s *sseStream) wait(news <-chan struct{}, atMost time.Duration) error {
	s.timer.Reset(min(atMost, max(0, heartbeat-time.Since(s.written))))
	select {
	case <-news:
		return nil
	case <-s.timer.C:
		return s.beat()
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}
