package processor

import (
	"context"
	"errors"
	"time"

	"millrace"
	"millrace/streams"
)

// conclude writes the outcome down, as often as it takes while the lease lasts,
// and gives the task up otherwise. It must not depend on a context that a
// shutdown ends: the work is done, and only its record is missing.
func (p *Processor) conclude(run *run) {
	j, o := run.job, run.outcome
	defer p.leases.drop(j)
	j.writing.Lock()
	r := conclusion(recordOf(j), j.lost, run.attempt, o, run.result)
	j.writing.Unlock()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if p.leases.lost(j) && o.state != millrace.Succeeded {
			// Its failure may be due to that. Whoever has the task now decides.
			p.leave(j)
			return
		}
		err := p.write(j, r, o, run.terms.resultTTL)
		switch {
		case err == nil:
			return
		case errors.Is(err, millrace.ErrConflict):
			p.yield(j, r, o)
			return
		case errors.Is(err, millrace.ErrInvalid):
			// Too large, for all that is cut off: write what matters.
			r = slim(r)
		}
		p.log.Warn("cannot write an outcome yet", "task", j.Task.ID, "state", o.state, "error", err)
		if p.leases.lost(j) {
			p.leave(j)
			return
		}
		time.Sleep(pause)
	}
}

// concludeAll writes down together what came of a batch, as far as that is final,
// and returns those with whom there is more to do.
func (p *Processor) concludeAll(runs []*run) (rest []*run) {
	var final []*run
	var all []streams.Finished
	for _, run := range runs {
		j, o := run.job, run.outcome
		if !o.state.Final() || o.state != millrace.Succeeded && p.leases.lost(j) {
			rest = append(rest, run)
			continue
		}
		j.writing.Lock()
		final = append(final, run)
		all = append(all, streams.Finished{
			Delivery: j.Delivery, Final: conclusion(recordOf(j), j.lost, run.attempt, o, run.result), TTL: run.terms.resultTTL,
		})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.handlerCtx), p.store.AckWait())
	defer cancel()
	for i, err := range p.store.FinishAll(ctx, all) {
		final[i].closed = err == nil
		final[i].writing.Unlock()
		if err != nil {
			rest = append(rest, final[i])
		} else {
			p.leases.drop(final[i].job)
		}
	}
	return rest
}

func (p *Processor) write(j *job, r millrace.Record, o outcome, ttl time.Duration) (err error) {
	j.writing.Lock()
	defer j.writing.Unlock()
	defer func() { j.closed = err == nil }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.handlerCtx), p.store.AckWait())
	defer cancel()
	switch {
	case o.state.Final():
		return p.store.Finish(ctx, j.Delivery, r, ttl)
	case o.state == millrace.Pending && o.delay == 0 && p.stopping.Load():
		return p.store.HandBack(ctx, j.Delivery, r)
	case o.state == millrace.Pending && j.Record != nil && j.Record.State == millrace.Pending:
		return j.Release(o.delay) // there is nothing new to write down
	}
	return p.store.Retry(ctx, j.Delivery, r, o.delay)
}

// leave lets go of a task that is not this worker's any more. If it is because it was
// cancelled, its limits counted it until now.
func (p *Processor) leave(j *job) {
	if len(j.Task.Passes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.handlerCtx), p.store.AckWait())
	defer cancel()
	f, err := p.store.Lookup(ctx, j.Task.ID)
	if err == nil && f.Record.State.Final() {
		err = p.store.Settle(ctx, j.Delivery)
	}
	if err != nil {
		p.log.Warn("cannot let go of a task; its limits count it a while longer", "task", j.Task.ID, "error", err)
	}
}

// yield looks at who wrote the record instead, and takes the task off the queue
// if it is finished. It may have been this worker, whose answer got lost.
func (p *Processor) yield(j *job, r millrace.Record, o outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.handlerCtx), p.store.AckWait())
	defer cancel()
	f, err := p.store.Lookup(ctx, j.Task.ID)
	switch {
	case err != nil:
		p.log.Warn("an outcome was written by somebody else, but cannot be read; the task comes again", "task", j.Task.ID, "error", err)
	case f.Record.State.Final():
		if err := p.store.Settle(ctx, j.Delivery); err != nil {
			p.log.Warn("cannot acknowledge a finished task", "task", j.Task.ID, "error", err)
		}
	case f.Record.State == r.State && f.Record.NextAt.Equal(r.NextAt) && len(f.Record.Attempts) == len(r.Attempts):
		p.release(j, o.delay)
	case j.Task.Unique && !f.Record.Begun():
		p.release(j, 0) // it was replaced, and has not run here
	default:
		p.log.Warn("another worker has the task; its outcome here is dropped", "task", j.Task.ID)
	}
}
