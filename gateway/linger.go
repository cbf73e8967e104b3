package gateway

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// lingerTime is how long a refused request may go on arriving.
const lingerTime = 2 * time.Second

// lingeringListener lets a client read why its request was refused before all of
// it had arrived. A connection that is closed with bytes unread is reset, and a
// client that is still sending, as Go's own, then reports a broken connection
// instead of the 413. So such a connection says that no more comes from this
// side, and takes what the other sends until it closes too.
type lingeringListener struct{ net.Listener }

// Accept waits for a connection.
func (l lingeringListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingeringConn{Conn: conn}, nil
}

type lingeringConn struct {
	net.Conn
	unread atomic.Bool // a request was refused before all of it was read
}

// leaveUnread notes that the rest of a request on conn will not be read.
func leaveUnread(conn net.Conn) {
	if c, ok := conn.(*lingeringConn); ok {
		c.unread.Store(true)
	}
}

// Close closes the connection, and lingers at most lingerTime if need be.
func (c *lingeringConn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.unread.CompareAndSwap(true, false) {
		if half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.Copy(io.Discard, c.Conn) // it ends when the client closes, or at the deadline
		}
	}
	return c.Conn.Close()
}
