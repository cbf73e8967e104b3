package broker

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Mortal is the way to the broker of a process that dies in the middle of its work:
// before a certain thing that it writes, acknowledgements and removals included, and
// each message of an atomic batch. From then on nothing that it sends arrives.
type Mortal struct {
	*Broker
	// Left is how much it writes before it dies.
	Left int
	// Before is called before each write, if set.
	Before func(subject string)

	mu      sync.Mutex
	written int
	dead    bool
}

var errDead = errors.New("the process has died")

// Died tells whether it has.
func (m *Mortal) Died() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// InProcessConn connects, as long as it lives.
func (m *Mortal) InProcessConn() (net.Conn, error) {
	if m.Died() {
		return nil, errDead
	}
	conn, err := m.Broker.InProcessConn()
	if err != nil {
		return nil, err
	}
	return &mortalConn{publishing{Conn: conn, pass: m.pass}, m}, nil
}

func (m *Mortal) pass(subject string) (bool, error) {
	if m.Died() || isWrite(subject) && !m.write(subject) {
		return false, errDead
	}
	return true, nil
}

// write counts a write and reports whether there is life left for it.
func (m *Mortal) write(subject string) bool {
	if m.Before != nil {
		m.Before(subject)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = m.dead || m.written == m.Left
	m.written++
	return !m.dead
}

type mortalConn struct {
	publishing
	mortal *Mortal
}

func (c *mortalConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.mortal.Died() {
		return 0, io.EOF
	}
	return n, err
}

func isWrite(subject string) bool {
	if strings.HasPrefix(subject, "$KV.workers.") {
		return false // nothing depends on what a worker says of itself
	}
	return slices.ContainsFunc([]string{
		"tasks.", "waiting.", "schedules.", "held.", "rates.", "dead.", "order-events.", "$KV.", "$JS.ACK.",
		"$JS.API.STREAM.PURGE.", "$JS.API.STREAM.MSG.DELETE.", "$JS.API.STREAM.UPDATE.", "$JS.API.STREAM.DELETE.",
		"millrace.cancel.",
	}, func(prefix string) bool { return strings.HasPrefix(subject, prefix) })
}

// Step is how many writes lie between two deaths, when a process dies before any of them:
// one, or some if the tests are to be short.
func Step() int {
	switch {
	case testing.Short() && raced:
		return 10
	case testing.Short():
		return 3
	}
	return 1
}
