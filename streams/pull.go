package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// A pull request stands for [Config.PullExpiry] at the server, which says so when it is
// over. Of one that is silent for overdue longer, nothing is expected any more: it was
// lost, by the server, a leader that stepped down, or on the way. So whatever
// goes wrong, messages are asked for again then.
const (
	overdue = 250 * time.Millisecond
	// maxAsked bounds what may be on its way to one pull.
	maxAsked = 4096
	// maxPulled is how many messages next returns at once.
	maxPulled = 256
)

// pull asks one consumer for messages, never for more than its caller has room
// for. Unlike a push it leaves the rest for others. It is not for several
// goroutines at once. Close it when done.
type pull struct {
	store   *Store
	what    string // in errors: "queue default"
	subject string // where requests go
	sub     *nats.Subscription
	inbox   string
	msgs    chan *nats.Msg
	asked   []request // oldest first, as the server serves them
	lastAsk uint64
}

// request is a pull request that stands at the server.
type request struct {
	id    uint64
	left  int
	until time.Time // when it counts as lost
}

func (s *Store) pullFrom(stream, consumer, what string) (*pull, error) {
	p := &pull{
		store: s, what: what, subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer,
		inbox: s.nc.NewInbox() + ".", msgs: make(chan *nats.Msg, 2*maxAsked),
	}
	sub, err := s.nc.ChanSubscribe(p.inbox+"*", p.msgs)
	if err != nil {
		return nil, fmt.Errorf("%w: pull from %s: %w", millrace.ErrUnavailable, what, err)
	}
	p.sub = sub
	return p, nil
}

// next returns what has come, waiting a second or so for the first. It keeps
// requests standing for up to room messages, and asks for more only when half of
// the room is not asked for, since a request costs as much as a message. No
// messages and no error means that none came.
func (p *pull) next(ctx context.Context, room int) ([]*nats.Msg, error) {
	if err := p.keepAsking(room); err != nil || len(p.asked) == 0 {
		return nil, err
	}
	return p.receive(ctx)
}

// poll is next for one who does not wait.
func (p *pull) poll(room int) ([]*nats.Msg, error) {
	if err := p.keepAsking(room); err != nil {
		return nil, err
	}
	return p.receiveMore(nil), nil
}

func (p *pull) keepAsking(room int) error {
	p.forgetLost(time.Now())
	if want := min(room, maxAsked) - p.Asked(); want > 0 && 2*want >= room {
		return p.ask(want)
	}
	return nil
}

// Asked is how many messages may still come that were asked for.
func (p *pull) Asked() int {
	n := 0
	for _, r := range p.asked {
		n += r.left
	}
	return n
}

func (p *pull) forgetLost(now time.Time) {
	for len(p.asked) > 0 && !now.Before(p.asked[0].until) {
		p.asked = p.asked[1:]
	}
}

func (p *pull) ask(n int) error {
	if !p.store.nc.IsConnected() {
		return errLinkDown
	}
	p.lastAsk++
	body, err := encode(struct {
		Batch   int   `json:"batch"`
		Expires int64 `json:"expires"`
	}{n, int64(p.store.cfg.PullExpiry)})
	if err != nil {
		return fmt.Errorf("pull from %s: %w", p.what, err)
	}
	if err := p.store.nc.PublishRequest(p.subject, p.inbox+strconv.FormatUint(p.lastAsk, 36), body); err != nil {
		return publishError(err)
	}
	p.asked = append(p.asked, request{p.lastAsk, n, time.Now().Add(p.store.cfg.PullExpiry + overdue)})
	return nil
}

// receive waits for a message while a request stands, and takes along what else
// is there.
func (p *pull) receive(ctx context.Context) ([]*nats.Msg, error) {
	timer := time.NewTimer(time.Until(p.asked[len(p.asked)-1].until))
	defer timer.Stop()
	for len(p.asked) > 0 {
		select {
		case m := <-p.msgs:
			isStatus, err := p.accept(m)
			if err != nil {
				return nil, err
			}
			if !isStatus {
				return p.receiveMore([]*nats.Msg{m}), nil
			}
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, nil
		}
	}
	return nil, nil
}

// receiveMore adds what is there to msgs.
func (p *pull) receiveMore(msgs []*nats.Msg) []*nats.Msg {
	for len(msgs) < maxPulled {
		select {
		case m := <-p.msgs:
			isStatus, err := p.accept(m)
			if err != nil {
				p.store.log.Warn("a pull request ended", "of", p.what, "error", err)
			}
			if !isStatus {
				msgs = append(msgs, m)
			}
		default:
			return msgs
		}
	}
	return msgs
}

// accept counts one message, which may be what became of a request.
func (p *pull) accept(m *nats.Msg) (isStatus bool, err error) {
	if id, isStatus := strings.CutPrefix(m.Subject, p.inbox); isStatus {
		return true, p.ended(id, m.Header.Get("Status"), m.Header.Get("Description"))
	}
	if len(p.asked) > 0 {
		if p.asked[0].left--; p.asked[0].left <= 0 {
			p.asked = p.asked[1:]
		}
	}
	return false, nil
}

// ended strikes a request off the list, and says whether that was to be expected.
func (p *pull) ended(id, status, description string) error {
	for i, r := range p.asked {
		if strconv.FormatUint(r.id, 36) == id {
			p.asked = append(p.asked[:i:i], p.asked[i+1:]...)
			break
		}
	}
	switch status {
	case "404", "408", "100": // no messages, expired, a heartbeat
		return nil
	}
	return fmt.Errorf("%w: pull from %s: %s %s", millrace.ErrUnavailable, p.what, status, description)
}

// Close ends the requests that stand and hands back what came for them.
func (p *pull) Close() error {
	msgs, err := p.end()
	for _, m := range msgs {
		err = errors.Join(err, receipt{p.store.nc, m.Reply}.Release(0))
	}
	return err
}

// end ends the requests that stand and returns what came for them.
func (p *pull) end() (msgs []*nats.Msg, err error) {
	// Not Unsubscribe, which would drop what the server has sent meanwhile.
	if err := p.sub.Drain(); err != nil {
		return nil, fmt.Errorf("stop pulling from %s: %w", p.what, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.store.cfg.Timeout)
	defer cancel()
	ctx, unbind := p.store.replies.link.bind(ctx)
	defer unbind()
	// After a round trip nothing more can come.
	err = p.store.nc.FlushWithContext(ctx)
	for {
		select {
		case m := <-p.msgs:
			if isStatus, _ := p.accept(m); !isStatus {
				msgs = append(msgs, m)
			}
		default:
			return msgs, err
		}
	}
}
