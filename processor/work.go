package processor

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"millrace"
)

// start begins the work on a job that the dispatcher has a handler's place for.
func (p *Processor) start(j *job) {
	p.working.Add(1)
	go func() {
		defer p.working.Done()
		p.work(j)
	}()
}

// work is the way of one task: checks that can end it before it begins, its mark
// if it needs one, the handler, the verdict, and the writing down.
func (p *Processor) work(j *job) {
	h, known := p.handlers[j.Task.Kind]
	t := h.kind.terms(j.Task.Options)
	run := millrace.Attempt{Number: max(len(recordOf(j).Attempts), j.Task.Tried) + 1, StartedAt: time.Now().UTC(), Worker: p.cfg.Worker}
	var result json.RawMessage
	var o outcome
	switch {
	case j.Malformed != nil:
		o = outcome{state: millrace.Failed, counts: false, reason: j.Malformed.Error()}
	case j.lost >= p.cfg.MaxLost:
		o = outcome{state: millrace.Failed, counts: false, reason: fmt.Sprintf("worker lost: %d deliveries of the task died with their worker", j.lost)}
	case !known:
		// Another worker may know the kind, or this one after its next release.
		o = outcome{state: millrace.Pending, delay: unknownDelay(j.Delivered)}
	case !p.mark(j):
		p.leave(j)
		return
	default:
		result, o = p.call(h, j, t, run.Number)
	}
	p.finishing <- struct{}{}
	p.dispatcher.freed(j)
	if j.decided.CompareAndSwap(false, true) {
		p.conclude(j, run, o, result, t)
	}
	<-p.finishing
}

// unknownDelay is how long a task waits that no handler of this worker is for.
func unknownDelay(delivered uint64) time.Duration {
	return min(100*time.Millisecond<<min(delivered-1, 9), 30*time.Second)
}

// leave ends a job that is not this worker's to conclude: its lease is lost, or
// it could not be marked.
func (p *Processor) leave(j *job) {
	p.dispatcher.freed(j)
	p.leases.drop(j)
}

// mark writes down that a delivery runs which may be the death of its worker.
func (p *Processor) mark(j *job) bool {
	if !j.marked {
		return true
	}
	r := recordOf(j)
	r.State = millrace.Running
	r.Lost = j.lost + 1
	r.NextAt = time.Time{}
	ctx, cancel := context.WithTimeout(p.handlerCtx, p.store.AckWait())
	defer cancel()
	if err := p.store.Note(ctx, j.Delivery, r); err != nil {
		p.log.Warn("cannot mark a task as running; it comes again", "task", j.Task.ID, "error", err)
		// In case of a conflict somebody else has it or has finished it: the next
		// delivery sees their record.
		p.release(j, time.Second)
		return false
	}
	return true
}

// call runs the handler within its time and catches its panic.
func (p *Processor) call(h handler, j *job, t terms, attempt int) (json.RawMessage, outcome) {
	ctx, cancel := context.WithCancelCause(p.handlerCtx)
	defer cancel(nil)
	if !p.leases.running(j, cancel) {
		return nil, outcome{state: millrace.Pending}
	}
	if t.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, t.timeout)
		defer stop()
	}
	task := j.Task
	task.Attempt = attempt
	result, err := p.protect(ctx, h, task, t.hardTimeout)
	if err == nil && len(result) > p.cfg.MaxResult {
		err = millrace.Permanent(fmt.Errorf("the result has %d bytes, and a record takes %d: keep large results elsewhere and return where", len(result), p.cfg.MaxResult))
	}
	return result, judge(err, context.Cause(ctx), attempt, t, rand.Float64())
}
