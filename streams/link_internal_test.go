package streams

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a process meets that starts while the broker goes or comes is no reason to
// end; what an operator must mend is.
func TestTransient(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nats.ErrNoServers, true},
		{fmt.Errorf("connect: %w", &net.OpError{Op: "read", Err: syscall.ECONNRESET}), true},
		{io.EOF, true},
		{&jetstream.APIError{Code: 503}, true},
		{&jetstream.APIError{Code: 400}, false},
		{nats.ErrAuthorization, false},
		{errors.New("parse \"nats://:x\": invalid port"), false},
	} {
		if got := transient(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
