package streams

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// receipt is for a message that a consumer handed out: it tells the server what
// became of it.
type receipt struct {
	nc    *nats.Conn
	reply string
}

// Ack says that the message is done with. It is not waited for: if it is lost the
// message comes again.
func (r receipt) Ack() error {
	return r.respond("+ACK")
}

// Release hands the message back, to be delivered again after delay, at once for
// zero.
func (r receipt) Release(delay time.Duration) error {
	if delay <= 0 {
		return r.respond("-NAK")
	}
	return r.respond(`-NAK {"delay":` + strconv.FormatInt(int64(delay), 10) + `}`)
}

func (r receipt) respond(what string) error {
	if err := r.nc.Publish(r.reply, []byte(what)); err != nil {
		return publishError(err)
	}
	return nil
}
