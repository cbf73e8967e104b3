package streams

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// replies lets many requests be under way at once on one subscription, without
// a goroutine or a timer for each, and lets one request have many answers.
type replies struct {
	nc      *nats.Conn
	link    *link
	timeout time.Duration
	prefix  string
	commits sizes

	mu     sync.Mutex
	last   uint64
	calls  map[string]*call
	closed bool
}

// call is one request that waits for its answers.
type call struct {
	replies *replies
	token   string
	link    context.Context
	until   time.Time // when the next answer is overdue
	answers chan answer
}

// answer is a message, or why none comes.
type answer struct {
	msg *nats.Msg
	err error
}

func newReplies(nc *nats.Conn, l *link, timeout time.Duration) (*replies, error) {
	r := &replies{nc: nc, link: l, timeout: timeout, prefix: nc.NewInbox() + ".", calls: map[string]*call{}}
	sub, err := nc.Subscribe(r.prefix+"*", r.receive)
	if err != nil {
		return nil, fmt.Errorf("subscribe to replies: %w", err)
	}
	// What is answered is bounded by what was asked.
	return r, sub.SetPendingLimits(-1, -1)
}

// relink is how often it is looked whether a lost connection is back.
const relink = 100 * time.Millisecond

// watch ends the calls whose answer is overdue, and those whose connection is lost;
// when ctx ends, all of them. It wakes when the first of them would be overdue: what
// is asked later is overdue later.
func (r *replies) watch(ctx context.Context) {
	timer := time.NewTimer(r.timeout)
	defer timer.Stop()
	for {
		var lost <-chan struct{}
		if link := r.link.current(); link.Err() == nil {
			lost = link.Done()
		}
		select {
		case <-timer.C:
		case <-lost:
		case <-ctx.Done():
			r.end(true)
			return
		}
		pause := r.end(false)
		if r.link.current().Err() != nil {
			pause = min(pause, relink) // it may come back, and go again
		}
		timer.Reset(pause)
	}
}

// end ends some calls, or all, and returns when to look again.
func (r *replies) end(all bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = all
	now := time.Now()
	next := r.timeout
	for token, c := range r.calls {
		var err error
		switch {
		case all:
			err = errClosed
		case c.link.Err() != nil:
			err = errLinkDown
		case !now.Before(c.until):
			err = fmt.Errorf("%w: no answer in %s", millrace.ErrUnavailable, r.timeout)
		default:
			next = min(next, c.until.Sub(now))
			continue
		}
		delete(r.calls, token)
		c.answers <- answer{err: err} // there is a place for it
	}
	return next
}

func (r *replies) receive(m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.calls[m.Subject[len(r.prefix):]]
	if c == nil || len(c.answers) == cap(c.answers)-1 {
		return // nobody waits any more, or more answers than were asked for
	}
	c.until = time.Now().Add(r.timeout)
	c.answers <- answer{msg: m}
}

// send publishes msg; up to n answers will wait to be read. Close the call.
func (r *replies) send(msg *nats.Msg, n int) (*call, error) {
	c := &call{replies: r, link: r.link.current(), until: time.Now().Add(r.timeout), answers: make(chan answer, n+1)}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, errClosed
	}
	r.last++
	c.token = strconv.FormatUint(r.last, 36)
	r.calls[c.token] = c
	r.mu.Unlock()
	if c.link.Err() != nil {
		// The connection may be back, but the call would be told that it was lost.
		c.close()
		return nil, errLinkDown
	}
	msg.Reply = r.prefix + c.token
	if err := r.nc.PublishMsg(msg); err != nil {
		c.close()
		return nil, publishError(err)
	}
	return c, nil
}

func (c *call) close() {
	c.replies.mu.Lock()
	delete(c.replies.calls, c.token)
	c.replies.mu.Unlock()
}

// answer waits for the next one: until ctx ends, the connection goes or the
// timeout is over, which counts from the request or the answer before.
func (c *call) answer(ctx context.Context) (*nats.Msg, error) {
	select {
	case a := <-c.answers: // also when ctx has ended by now
		return a.msg, a.err
	default:
	}
	select {
	case a := <-c.answers:
		return a.msg, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", millrace.ErrUnavailable, context.Cause(ctx))
	}
}

// stored waits for the one answer to a publish and returns the sequence.
func (c *call) stored(ctx context.Context) (uint64, error) {
	defer c.close()
	m, err := c.answer(ctx)
	if err != nil {
		return 0, err
	}
	return parseAck(m)
}

// publishError says what a failed publish means: nothing left this process.
func publishError(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return errTooLarge
	}
	return fmt.Errorf("%w: %w", millrace.ErrUnavailable, err)
}

var errTooLarge = fmt.Errorf("%w: the message is larger than the broker takes", millrace.ErrInvalid)

// errRefused is part of every answer of the broker's that nothing was stored.
var errRefused = errors.New("the broker refused")

// The refusals that somebody decides on (nats-server, errors.json).
const (
	codeWrongLastSequence   = 10071
	codeConstantLastSeq     = 10164
	codeDuplicateInBatch    = 10201
	codeStoreFailed         = 10077
	codeInsufficientStorage = 10047
)

type pubAck struct {
	Seq   uint64 `json:"seq"`
	Error *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// parseAck reads the server's answer to a publish.
func parseAck(m *nats.Msg) (uint64, error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return 0, fmt.Errorf("%w: no stream answers", millrace.ErrUnavailable)
	}
	if seq, ok := quickSeq(m.Data); ok {
		return seq, nil
	}
	var ack pubAck
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return 0, fmt.Errorf("%w: unreadable acknowledgement: %w", millrace.ErrUnavailable, err)
	}
	if ack.Error == nil {
		return ack.Seq, nil
	}
	meaning := millrace.ErrUnavailable
	switch ack.Error.ErrCode {
	case codeWrongLastSequence, codeConstantLastSeq, codeDuplicateInBatch:
		meaning = millrace.ErrConflict
	case codeStoreFailed, codeInsufficientStorage:
		meaning = millrace.ErrQueueFull
	}
	return 0, fmt.Errorf("%w: %w: %s (%d)", meaning, errRefused, ack.Error.Description, ack.Error.ErrCode)
}

// quickSeq reads the sequence of a good acknowledgement without decoding all of
// it, which would be a tenth of the work of a submission. ok is false for anything
// else.
func quickSeq(ack []byte) (seq uint64, ok bool) {
	const key = `,"seq":`
	i := bytes.Index(ack, []byte(key))
	if i < 0 || bytes.Contains(ack, []byte(`"error"`)) {
		return 0, false
	}
	for _, c := range ack[i+len(key):] {
		if c < '0' || c > '9' {
			return seq, seq > 0 && (c == ',' || c == '}')
		}
		seq = seq*10 + uint64(c-'0')
	}
	return 0, false
}
