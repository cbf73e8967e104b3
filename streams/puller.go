package streams

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// Puller asks for the tasks of one queue, never for more than its caller has
// room for. It is not for several goroutines at once. Close it when done.
type Puller struct {
	*pull
	queue   string
	floorAt time.Time // when the queue's floor was last looked at
	floor   noted
}

// Pull returns a puller for queue.
func (s *Store) Pull(queue string) (*Puller, error) {
	p, err := s.pullFrom(taskStream(queue), consumerName, "queue "+queue)
	if err != nil {
		return nil, err
	}
	return &Puller{pull: p, queue: queue}, nil
}

// Next returns the tasks that have come, with their records, waiting a second or
// so for the first. It keeps requests standing for up to room tasks. No tasks and
// no error means that none came.
func (p *Puller) Next(ctx context.Context, room int) ([]*Delivery, error) {
	if now := time.Now(); now.Sub(p.floorAt) >= floorEvery {
		p.floorAt = now
		if err := p.store.noteFloor(ctx, p.queue, &p.floor); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	msgs, err := p.next(ctx, room)
	if err != nil || len(msgs) == 0 {
		return nil, err
	}
	return p.take(ctx, msgs)
}

// Withdraw takes back what was asked for, and returns the tasks that have come all the
// same, which are the caller's to hand back.
func (p *Puller) Withdraw(ctx context.Context) ([]*Delivery, error) {
	anew, err := p.store.pullFrom(taskStream(p.queue), consumerName, p.what)
	if err != nil {
		return nil, err
	}
	msgs, err := p.end()
	p.pull = anew
	if err != nil {
		// They come again when their lease is over, at the latest.
		for _, m := range msgs {
			err = errors.Join(err, receipt{p.store.nc, m.Reply}.Release(0))
		}
		return nil, err
	}
	if len(msgs) == 0 {
		return nil, nil
	}
	return p.take(ctx, msgs)
}

// take returns the tasks that messages are of, with their records.
func (p *Puller) take(ctx context.Context, msgs []*nats.Msg) ([]*Delivery, error) {
	deliveries, err := p.deliveries(msgs)
	if err == nil {
		// Also when ctx has ended by now: what has come is ours to run or to hand back, and
		// a server in this process that is about to stop would forget a nak.
		err = p.store.attachRecords(context.WithoutCancel(ctx), deliveries)
	}
	if err != nil {
		// Without their records they must not run. They come again at once.
		for _, m := range msgs {
			err = errors.Join(err, receipt{p.store.nc, m.Reply}.Release(0))
		}
		return nil, err
	}
	for _, without := range []func(context.Context, []*Delivery) []*Delivery{
		p.store.withoutOutdated, p.store.parkAgain, p.store.withoutReplaced, p.store.holdBack,
	} {
		deliveries = without(ctx, deliveries)
	}
	return deliveries, nil
}

func (p *Puller) deliveries(msgs []*nats.Msg) ([]*Delivery, error) {
	out := make([]*Delivery, len(msgs))
	for i, m := range msgs {
		var err error
		if out[i], err = newDelivery(p.store, p.queue, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Restore creates the queue's consumer if it is missing. Call it when [Puller.Next]
// fails: somebody may have deleted it.
func (p *Puller) Restore(ctx context.Context) error {
	_, err := ensureWorkers(ctx, p.store.js, p.store.cfg, p.queue)
	return err
}
