package processor

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"millrace/streams"
)

// feeder brings the tasks of one queue to the dispatcher, as it has room.
type feeder struct {
	p      *Processor
	lane   *lane
	puller *streams.Puller
	log    *slog.Logger
	// Of the tasks that were in the log when this worker started, the first few
	// that are not finished may have been running in a process that died with the
	// server's memory of it: see suspicion.
	old   uint64 // the last sequence of those
	early int    // how many are left to be wary of
}

func (p *Processor) newFeeders(ctx context.Context) ([]*feeder, error) {
	var all []*feeder
	for _, l := range p.dispatcher.lanes {
		f, err := p.newFeeder(ctx, l)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (p *Processor) newFeeder(ctx context.Context, l *lane) (*feeder, error) {
	last, err := p.store.LastSequence(ctx, l.Name)
	if err != nil {
		return nil, fmt.Errorf("processor: %w", err)
	}
	puller, err := p.store.Pull(l.Name)
	if err != nil {
		return nil, fmt.Errorf("processor: %w", err)
	}
	f := &feeder{p: p, lane: l, puller: puller, log: p.log.With("queue", l.Name), old: last}
	if !p.cfg.BrokerRemembers {
		f.early = min(p.cfg.Concurrency*p.largestBatch()+maxPrefetch+maxFinishing, streams.MaxUnderWay)
	}
	return f, nil
}

func (p *Processor) largestBatch() int {
	size := 1
	for _, h := range p.handlers {
		size = max(size, h.batch.Size)
	}
	return size
}

// run feeds until ctx ends.
func (f *feeder) run(ctx context.Context) {
	defer func() {
		if err := f.puller.Close(); err != nil {
			f.log.Warn("tasks on their way are not handed back; they come again when their lease is over", "error", err)
		}
	}()
	ctx, end := context.WithCancel(ctx)
	defer end()
	f.p.dispatcher.letPull(ctx, f.lane, end)
	failures := 0
	for ctx.Err() == nil {
		pulling := f.p.dispatcher.pulling(f.lane)
		room := f.p.dispatcher.room(f.lane)
		if room <= 0 && f.puller.Asked() == 0 {
			f.p.dispatcher.park(f.lane)
			select {
			case <-f.lane.wake:
			case <-ctx.Done():
			}
			continue
		}
		var deliveries []*streams.Delivery
		var err error
		if pulling.Err() == nil {
			deliveries, err = f.puller.Next(pulling, room)
		} else {
			deliveries, err = f.puller.Withdraw(ctx)
		}
		if err != nil {
			failures++
			f.recover(ctx, failures, err)
			continue
		}
		failures = 0
		f.offer(deliveries)
	}
}

// retold is after how many failures, some a second at most, it is said again.
const retold = 60

// recover waits a little longer each time, and makes sure that the consumer is
// there, in case somebody deleted it.
func (f *feeder) recover(ctx context.Context, failures int, err error) {
	if ctx.Err() != nil {
		return
	}
	pause := min(50*time.Millisecond<<min(failures-1, 10), time.Second)
	told := failures%retold != 1 // it may take long
	if !told {
		f.log.Warn("cannot get tasks, trying until it is possible", "error", err)
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return
	}
	if err := f.puller.Restore(ctx); err != nil && ctx.Err() == nil && !told {
		f.log.Warn("the queue's consumer is not there", "error", err)
	}
}

func (f *feeder) offer(deliveries []*streams.Delivery) {
	jobs := make([]*job, 0, len(deliveries))
	for _, d := range deliveries {
		if f.settled(d) {
			continue
		}
		early := d.Sequence <= f.old && f.early > 0
		if early {
			f.early--
		}
		j := &job{Delivery: d, lane: f.lane, batch: f.p.handlers[d.Task.Kind].batch, deliveries: deliveriesOf(d)}
		j.lost, j.marked = suspicion(d.Record, d.Delivered, early)
		j.marked = j.marked || d.Task.Unique // somebody may want to replace it in this moment
		f.p.leases.add(j)
		jobs = append(jobs, j)
	}
	f.p.handBackAll(f.p.dispatcher.offer(f.lane, jobs))
}

// deliveriesOf is how often a task was delivered, this time included. The server
// counts anew when the task gets another place in its log, and a delivery that died
// unmarked is in no record: so this is what is known at least.
func deliveriesOf(d *streams.Delivery) int {
	n := int(d.Delivered)
	if d.Record != nil {
		n = max(n, d.Record.Deliveries+1)
	}
	return n
}

// settled deals with a delivery that is not to run: of a task that is done, which
// comes again when its acknowledgement was lost, and of one that is not due yet,
// which does when the server forgot how long to hold it back.
func (f *feeder) settled(d *streams.Delivery) bool {
	if d.Record == nil {
		return false
	}
	var err error
	wait := time.Until(d.Record.NextAt)
	switch {
	case d.Record.State.Final():
		err = f.settle(d)
	case wait > 0:
		err = d.Release(wait)
	default:
		return false
	}
	if err != nil {
		f.log.Warn("cannot settle a task; it comes again when its lease is over", "task", d.Task.ID, "error", err)
	}
	return true
}

// settle lets go of a task that is done, whoever it was that did it.
func (f *feeder) settle(d *streams.Delivery) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.p.handlerCtx), f.p.store.AckWait())
	defer cancel()
	return f.p.store.Settle(ctx, d)
}
