package orders_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// mortal is the way to the broker of a process that dies in the middle of its work:
// before the n-th thing that it writes, acknowledgements and removals included. From
// then on nothing that it sends arrives.
type mortal struct {
	way

	mu   sync.Mutex
	left int // writes until it dies
	dead bool
}

var errDead = errors.New("the process has died")

func (m *mortal) died() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// InProcessConn connects, as long as it lives.
func (m *mortal) InProcessConn() (net.Conn, error) {
	if m.died() {
		return nil, errDead
	}
	conn, err := m.way.InProcessConn()
	return &mortalConn{Conn: conn, mortal: m}, err
}

// write counts a write and reports whether there is life left for it.
func (m *mortal) write() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left--
	m.dead = m.dead || m.left < 0
	return !m.dead
}

// mortalConn takes what is written to it apart into the operations of the NATS
// protocol.
type mortalConn struct {
	net.Conn
	mortal *mortal
	rest   []byte // an operation of which the end is still to come
}

func (c *mortalConn) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	for {
		size, subject := operation(c.rest)
		if size == 0 {
			return len(p), nil
		}
		if c.mortal.died() || isWrite(subject) && !c.mortal.write() {
			c.Close()
			return 0, errDead
		}
		if _, err := c.Conn.Write(c.rest[:size]); err != nil {
			return 0, err
		}
		c.rest = c.rest[size:]
	}
}

func (c *mortalConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.mortal.died() {
		return 0, io.EOF
	}
	return n, err
}

// operation returns the size of the first operation in b, zero if it is not whole, and
// where it publishes, if it does.
func operation(b []byte) (size int, subject string) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return 0, ""
	}
	size = end + 2
	words := strings.Fields(string(b[:end]))
	if words[0] == "PUB" || words[0] == "HPUB" {
		body, _ := strconv.Atoi(words[len(words)-1])
		size, subject = size+body+2, words[1]
	}
	if len(b) < size {
		return 0, ""
	}
	return size, subject
}

func isWrite(subject string) bool {
	for _, prefix := range []string{"tasks.", "waiting.", "schedules.", "dead.", "$KV.", "order-events.", "$JS.ACK.", "$JS.API.STREAM.PURGE.", "$JS.API.STREAM.MSG.DELETE.", "millrace.cancel."} {
		if strings.HasPrefix(subject, prefix) {
			return true
		}
	}
	return false
}
