// Package load sends HTTP/1.1 requests over loopback and measures how long the
// answers take. It shares its cores with the server that it measures, so it
// costs as little as it can: requests are ready-made bytes, a connection is one
// goroutine with one buffer, and of an answer it reads the status, the length and
// the body.
//
// [Closed] sends the next request when the last one is answered, which finds out
// how much a server takes. [Open] sends by the clock, which finds out how long a
// client waits: a server that stalls does not slow the clock down.
package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Conn is a keep-alive connection for one request at a time.
type Conn struct {
	tcp net.Conn
	in  []byte
}

// patience is how long a connection may be used. A server that hangs ends in an
// error then, and not in a benchmark that does.
const patience = 5 * time.Minute

// Dial connects to a server on this machine, and refuses to load any other.
func Dial(addr string) (*Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address", addr)
	}
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return &Conn{tcp: tcp, in: make([]byte, 4<<10)}, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.tcp.Close() }

// Do sends a whole request and reads the answer. The body is good until the next
// call.
func (c *Conn) Do(request []byte) (status int, body []byte, err error) {
	if _, err := c.tcp.Write(request); err != nil {
		return 0, nil, err
	}
	have, head, size := 0, 0, 0
	for {
		n, err := c.tcp.Read(c.in[have:])
		if err != nil {
			return 0, nil, err
		}
		have += n
		if head == 0 {
			end := bytes.Index(c.in[:have], []byte("\r\n\r\n"))
			if end >= 0 {
				head = end + 4
				if status, size, err = parseHead(c.in[:head]); err != nil {
					return 0, nil, err
				}
			}
		}
		switch {
		case head > 0 && have > head+size:
			return 0, nil, errors.New("the answer is longer than it says")
		case head > 0 && have == head+size:
			return status, c.in[head:have], nil
		case have == len(c.in):
			c.in = append(c.in, make([]byte, len(c.in))...)
		}
	}
}

// parseHead reads what we need of "HTTP/1.1 202 Accepted" and the headers.
func parseHead(head []byte) (status, size int, err error) {
	if len(head) < len("HTTP/1.1 200") || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("not an HTTP answer: %.40q", head)
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, 0, fmt.Errorf("no status in %.40q", head)
	}
	const name = "\r\nContent-Length: "
	at := bytes.Index(head, []byte(name))
	if at < 0 {
		return 0, 0, fmt.Errorf("an answer of status %d without a Content-Length", status)
	}
	value := head[at+len(name):]
	value = value[:bytes.IndexByte(value, '\r')]
	if size, err = strconv.Atoi(string(value)); err != nil {
		return 0, 0, fmt.Errorf("Content-Length: %w", err)
	}
	return status, size, nil
}

// Post is a request with a JSON body.
func Post(path string, body []byte) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// AppendGet appends a request for path followed by more.
func AppendGet(buf []byte, path, more string) []byte {
	buf = append(buf, "GET "...)
	buf = append(buf, path...)
	buf = append(buf, more...)
	return append(buf, " HTTP/1.1\r\nHost: localhost\r\n\r\n"...)
}
