package broker

import (
	"bytes"
	"net"
	"strconv"
	"strings"
)

// publishing takes what is written to a connection apart into the operations of the
// NATS protocol, so that something can happen to one and not to the next.
type publishing struct {
	net.Conn
	// pass tells whether an operation gets through, given where it publishes, empty
	// if it does not. An error ends the connection.
	pass func(subject string) (bool, error)
	rest []byte // an operation of which the end is still to come
}

func (c *publishing) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	for {
		size, subject := operation(c.rest)
		if size == 0 {
			return len(p), nil
		}
		pass, err := c.pass(subject)
		if err != nil {
			c.Close()
			return 0, err
		}
		if pass {
			if _, err := c.Conn.Write(c.rest[:size]); err != nil {
				return 0, err
			}
		}
		c.rest = c.rest[size:]
	}
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
