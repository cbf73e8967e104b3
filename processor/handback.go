package processor

import (
	"context"
	"errors"
	"sync"
	"time"

	"millrace"
)

// staleAfter is how long a task may wait here for a handler, since it could be
// running elsewhere.
const staleAfter = time.Second

// handBackStale hands back, until ctx ends, what has been waiting for too long.
func (p *Processor) handBackStale(ctx context.Context) {
	tick := time.NewTicker(staleAfter / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.handBackAll(p.dispatcher.stale(staleAfter))
		}
	}
}

// handBackAll hands back together, so that the notes share a write.
func (p *Processor) handBackAll(jobs []*job) {
	var handing sync.WaitGroup
	for _, j := range jobs {
		handing.Go(func() { p.handBack(j) })
	}
	handing.Wait()
}

// handBack returns a task that did not run to its end, at no cost: it is noted
// first that this delivery did not die.
func (p *Processor) handBack(j *job) {
	defer p.leases.drop(j)
	j.writing.Lock()
	defer j.writing.Unlock()
	r := recordOf(j)
	if r.State == millrace.Running {
		r.State = millrace.Pending
	}
	r.Lost = j.lost
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.handlerCtx), p.store.AckWait())
	defer cancel()
	j.closed = true
	handBack := func() error { return p.store.Retry(ctx, j.Delivery, r, 0) }
	if p.stopping.Load() {
		handBack = func() error { return p.store.HandBack(ctx, j.Delivery, r) }
	}
	err := handBack()
	switch {
	case errors.Is(err, millrace.ErrConflict) && p.replaced(ctx, j):
		p.release(j, 0)
	case err != nil && !errors.Is(err, millrace.ErrConflict):
		p.log.Warn("cannot hand a task back; it comes again when its lease is over", "task", j.Task.ID, "error", err)
	}
}

// replaced reports whether a unique task, about which somebody else has written since it
// came here, was replaced: then nobody runs it.
func (p *Processor) replaced(ctx context.Context, j *job) bool {
	if !j.Task.Unique {
		return false
	}
	f, err := p.store.Lookup(ctx, j.Task.ID)
	return err == nil && !f.Record.Begun()
}

func (p *Processor) release(j *job, delay time.Duration) {
	if err := j.Release(delay); err != nil {
		p.log.Warn("cannot hand a task back; it comes again when its lease is over", "task", j.Task.ID, "error", err)
	}
}
