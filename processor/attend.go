package processor

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"millrace/streams"
)

// attend follows the settings of all processes until ctx ends: it shuts the lanes of
// queues that are paused, opens lanes for queues that are added, if this worker is to
// serve them, and gives those that its own configuration does not name the share that
// they have now.
func (p *Processor) attend(ctx context.Context, feeding *sync.WaitGroup) {
	p.store.Control().Watch(ctx, func(set *streams.Settings) {
		for _, l := range p.heed(set) {
			feeding.Go(func() { p.feed(ctx, l) })
		}
	})
}

// heed does what the settings say, and returns the lanes that are new.
func (p *Processor) heed(set *streams.Settings) (added []*lane) {
	if p.cfg.Added {
		for _, name := range set.AddedQueues() {
			if l := p.dispatcher.addLane(Queue{Name: name, Weight: max(1, set.Queue(name).Weight), Strict: set.Queue(name).Strict}); l != nil {
				added = append(added, l)
			}
		}
	}
	p.dispatcher.endLanes(func(l *lane) bool { return slices.Contains(p.store.Queues(), l.Name) })
	p.dispatcher.share(func(l *lane) (int, bool) {
		if l.own {
			return l.Weight, l.Strict
		}
		said := set.Queue(l.Name)
		return cmp.Or(said.Weight, defaultWeights[l.Name], 1), said.Strict
	})
	p.dispatcher.shutLanes(func(l *lane) bool { return !set.Queue(l.Name).Paused.IsZero() })
	return added
}

// feed brings the tasks of a queue that was added, as soon as the broker has it.
func (p *Processor) feed(ctx context.Context, l *lane) {
	for told := false; ctx.Err() == nil && !p.dispatcher.isEnded(l); {
		f, err := p.newFeeder(ctx, l)
		if err == nil {
			f.run(ctx)
			return
		}
		if !told && ctx.Err() == nil {
			p.log.Warn("cannot serve a queue that was added, trying until it is possible", "queue", l.Name, "error", err)
			told = true
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// addLane opens a lane, unless there is one for that queue.
func (d *dispatcher) addLane(q Queue) *lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || slices.ContainsFunc(d.lanes, func(l *lane) bool { return l.Name == q.Name }) {
		return nil
	}
	l := newLane(q)
	d.lanes = append(d.lanes, l)
	return l
}

// endLanes ends the lanes of queues that are not there any more.
func (d *dispatcher) endLanes(there func(*lane) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lanes = slices.DeleteFunc(d.lanes, func(l *lane) bool {
		if there(l) {
			return false
		}
		l.shut, l.ended = true, true
		if l.end != nil {
			l.end()
		}
		l.nudge()
		return true
	})
}

// isEnded reports whether the lane's queue is not there any more.
func (d *dispatcher) isEnded(l *lane) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return l.ended
}

// share gives each lane its share of the handlers.
func (d *dispatcher) share(of func(*lane) (weight int, strict bool)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lanes {
		l.Weight, l.Strict = of(l)
	}
}

// shutLanes shuts the lanes that are to be, and opens the others.
func (d *dispatcher) shutLanes(shut func(*lane) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lanes {
		l.shut = shut(l)
	}
	d.clearShut()
}

// setQuiet shuts all lanes, or leaves it to the settings which are shut.
func (d *dispatcher) setQuiet(quiet bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.quiet = quiet
	d.clearShut()
}

// clearShut hands back what is ready in the lanes that are shut.
func (d *dispatcher) clearShut() {
	var out []*job
	for _, l := range d.lanes {
		if d.isShut(l) {
			out = append(out, l.ready...)
			l.ready = nil
		}
		d.mayAsk(l)
		l.nudge()
	}
	open := d.suspects[:0:0]
	for _, j := range d.suspects {
		if d.isShut(j.lane) {
			out = append(out, j)
		} else {
			open = append(open, j)
		}
	}
	d.suspects = open
	d.choosing = d.choosing && d.anyUnasked()
	d.dispatch()
	if len(out) > 0 {
		d.handBack(out)
	}
}

// isShut reports whether the lane takes no tasks now.
func (d *dispatcher) isShut(l *lane) bool { return d.quiet || l.shut }

// letPull lets the lane's feeder begin, until ctx ends, or end is called.
func (d *dispatcher) letPull(ctx context.Context, l *lane, end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.end = end
	if l.ended {
		end()
	}
	l.feeding = ctx
	l.asking, l.withdraw = context.WithCancel(ctx)
	d.mayAsk(l)
}

// mayAsk ends what the lane asks for when it is shut, or lets it ask again.
func (d *dispatcher) mayAsk(l *lane) {
	switch {
	case l.feeding == nil: // not yet
	case d.isShut(l):
		l.withdraw()
	case l.asking.Err() != nil:
		l.asking, l.withdraw = context.WithCancel(l.feeding)
	}
}

// pulling lasts while the lane may ask for tasks.
func (d *dispatcher) pulling(l *lane) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return l.asking
}
