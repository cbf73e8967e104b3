package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// A pull request stands for pullExpiry at the server, which says so when it is
// over. Of one that is silent for lostAfter, nothing is expected any more: it was
// lost, by the server, a leader that stepped down, or on the way. So whatever
// goes wrong, tasks are asked for again after lostAfter.
const (
	pullExpiry = time.Second
	lostAfter  = pullExpiry + 250*time.Millisecond
	// maxAsked bounds what may be on its way to one puller.
	maxAsked = 4096
	// maxPulled is how many deliveries Next returns at once: their records are
	// looked up in one request.
	maxPulled = 256
)

// Puller asks for the tasks of one queue, never for more than its caller has
// room for. Unlike a push it leaves the rest for other workers. It is not for
// several goroutines at once. Close it when done.
type Puller struct {
	store   *Store
	queue   string
	sub     *nats.Subscription
	inbox   string
	msgs    chan *nats.Msg
	asked   []request // oldest first, as the server serves them
	lastAsk uint64
	floorAt time.Time // when the queue's floor was last noted
}

// request is a pull request that stands at the server.
type request struct {
	id    uint64
	left  int
	until time.Time // when it counts as lost
}

// Pull returns a puller for queue.
func (s *Store) Pull(queue string) (*Puller, error) {
	p := &Puller{store: s, queue: queue, inbox: nats.NewInbox() + ".", msgs: make(chan *nats.Msg, 2*maxAsked)}
	sub, err := s.nc.ChanSubscribe(p.inbox+"*", p.msgs)
	if err != nil {
		return nil, fmt.Errorf("%w: pull from queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	p.sub = sub
	return p, nil
}

// Next returns the tasks that have come, with their records, waiting a second or
// so for the first. It keeps requests standing for up to room tasks, and asks for
// more only when half of the room is not asked for, since a request costs as much
// as a task. No tasks and no error means that none came.
func (p *Puller) Next(ctx context.Context, room int) ([]*Delivery, error) {
	now := time.Now()
	p.forgetLost(now)
	if now.Sub(p.floorAt) >= floorEvery {
		p.floorAt = now
		if err := p.store.noteFloor(ctx, p.queue); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	if want := min(room, maxAsked) - p.Asked(); want > 0 && 2*want >= room {
		if err := p.ask(want); err != nil {
			return nil, err
		}
	}
	if len(p.asked) == 0 {
		return nil, nil
	}
	deliveries, err := p.receive(ctx)
	if err != nil || len(deliveries) == 0 {
		return nil, err
	}
	if err := p.store.attachRecords(ctx, deliveries); err != nil {
		// Without their records they must not run. They come again at once.
		for _, d := range deliveries {
			err = errors.Join(err, d.Release(0))
		}
		return nil, err
	}
	return deliveries, nil
}

// Asked is how many tasks may still come that were asked for.
func (p *Puller) Asked() int {
	n := 0
	for _, r := range p.asked {
		n += r.left
	}
	return n
}

func (p *Puller) forgetLost(now time.Time) {
	for len(p.asked) > 0 && !now.Before(p.asked[0].until) {
		p.asked = p.asked[1:]
	}
}

func (p *Puller) ask(n int) error {
	if !p.store.nc.IsConnected() {
		return errLinkDown
	}
	p.lastAsk++
	body, err := json.Marshal(struct {
		Batch   int           `json:"batch"`
		Expires time.Duration `json:"expires"`
	}{n, pullExpiry})
	if err != nil {
		return fmt.Errorf("pull from queue %s: %w", p.queue, err)
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + taskStream(p.queue) + "." + consumerName
	if err := p.store.nc.PublishRequest(subject, p.inbox+strconv.FormatUint(p.lastAsk, 36), body); err != nil {
		return publishError(err)
	}
	p.asked = append(p.asked, request{p.lastAsk, n, time.Now().Add(lostAfter)})
	return nil
}

// receive waits for a message while a request stands, and takes along what else
// is there.
func (p *Puller) receive(ctx context.Context) ([]*Delivery, error) {
	timer := time.NewTimer(time.Until(p.asked[len(p.asked)-1].until))
	defer timer.Stop()
	var deliveries []*Delivery
	take := func(m *nats.Msg) error {
		d, err := p.accept(m)
		if d != nil {
			deliveries = append(deliveries, d)
		}
		return err
	}
	for len(deliveries) == 0 && len(p.asked) > 0 {
		select {
		case m := <-p.msgs:
			if err := take(m); err != nil {
				return deliveries, err
			}
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, nil
		}
	}
	for len(deliveries) < maxPulled {
		select {
		case m := <-p.msgs:
			if err := take(m); err != nil {
				p.store.log.Warn("a pull request ended", "queue", p.queue, "error", err)
			}
		default:
			return deliveries, nil
		}
	}
	return deliveries, nil
}

// accept reads one message: a task, or what became of a request.
func (p *Puller) accept(m *nats.Msg) (*Delivery, error) {
	if id, isStatus := strings.CutPrefix(m.Subject, p.inbox); isStatus {
		return nil, p.ended(id, m.Header.Get("Status"), m.Header.Get("Description"))
	}
	if len(p.asked) > 0 {
		if p.asked[0].left--; p.asked[0].left <= 0 {
			p.asked = p.asked[1:]
		}
	}
	return newDelivery(p.store, p.queue, m)
}

// ended strikes a request off the list, and says whether that was to be expected.
func (p *Puller) ended(id, status, description string) error {
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
	return fmt.Errorf("%w: pull from queue %s: %s %s", millrace.ErrUnavailable, p.queue, status, description)
}

// Restore creates the queue's consumer if it is missing. Call it when [Puller.Next]
// fails: somebody may have deleted it.
func (p *Puller) Restore(ctx context.Context) error {
	_, err := ensureWorkers(ctx, p.store.js, p.store.cfg, p.queue)
	return err
}

// Close ends the requests that stand and hands back what came for them.
func (p *Puller) Close() error {
	// Not Unsubscribe, which would drop what the server has sent meanwhile.
	if err := p.sub.Drain(); err != nil {
		return fmt.Errorf("stop pulling from queue %s: %w", p.queue, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.store.cfg.Timeout)
	defer cancel()
	ctx, unbind := p.store.replies.link.bind(ctx)
	defer unbind()
	// After a round trip nothing more can come.
	err := p.store.nc.FlushWithContext(ctx)
	for {
		select {
		case m := <-p.msgs:
			if d, _ := p.accept(m); d != nil {
				err = errors.Join(err, d.Release(0))
			}
		default:
			return err
		}
	}
}
