package processor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

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
	run := millrace.Attempt{Number: len(recordOf(j).Attempts) + 1, StartedAt: time.Now().UTC(), Worker: p.cfg.Worker}
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
	result, err := protect(ctx, h, task)
	if err == nil && len(result) > p.cfg.MaxResult {
		err = millrace.Permanent(fmt.Errorf("the result has %d bytes, and a record takes %d: keep large results elsewhere and return where", len(result), p.cfg.MaxResult))
	}
	return result, judge(err, context.Cause(ctx), attempt, t, rand.Float64())
}

// protect calls the handler on a goroutine of its own, so that neither a panic nor
// the end of the goroutine (runtime.Goexit, as a test's FailNow does) goes further.
func protect(ctx context.Context, h handler, t millrace.RawTask) (json.RawMessage, error) {
	var result json.RawMessage
	err := errGoexit
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				err = &panicError{value: v, stack: string(debug.Stack())}
			}
		}()
		result, err = h.call(ctx, t)
	}()
	<-done
	return result, err
}

var errGoexit = errors.New("the handler ended its goroutine instead of returning")

// panicError is a handler's panic as an error.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// conclude writes the outcome down, as often as it takes while the lease lasts,
// and gives the task up otherwise. It must not depend on a context that a
// shutdown ends: the work is done, and only its record is missing.
func (p *Processor) conclude(j *job, run millrace.Attempt, o outcome, result json.RawMessage, t terms) {
	defer p.leases.drop(j)
	r := conclusion(recordOf(j), j.lost, run, o, result)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if p.leases.lost(j) && o.state != millrace.Succeeded {
			// Its failure may be due to that. Whoever has the task now decides.
			return
		}
		err := p.write(j, r, o, t)
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
			return
		}
		time.Sleep(pause)
	}
}

func (p *Processor) write(j *job, r millrace.Record, o outcome, t terms) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.handlerCtx), p.store.AckWait())
	defer cancel()
	switch {
	case o.state.Final():
		return p.store.Finish(ctx, j.Delivery, r, t.resultTTL)
	case o.state == millrace.Pending && j.Record != nil && j.Record.State == millrace.Pending:
		return j.Release(o.delay) // there is nothing new to write down
	}
	return p.store.Retry(ctx, j.Delivery, r, o.delay)
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
		if err := j.Ack(); err != nil {
			p.log.Warn("cannot acknowledge a finished task", "task", j.Task.ID, "error", err)
		}
	case f.Record.State == r.State && f.Record.NextAt.Equal(r.NextAt) && len(f.Record.Attempts) == len(r.Attempts):
		p.release(j, o.delay)
	default:
		p.log.Warn("another worker has the task; its outcome here is dropped", "task", j.Task.ID)
	}
}

// conclusion is the record after a run.
func conclusion(r millrace.Record, lost int, run millrace.Attempt, o outcome, result json.RawMessage) millrace.Record {
	now := time.Now().UTC()
	r.State, r.Lost = o.state, lost
	r.NextAt, r.Error = time.Time{}, truncate(o.reason, maxError)
	if o.counts {
		run.EndedAt = now
		run.Error, run.Stack = r.Error, truncate(o.stack, maxStack)
		r.Attempts = append(slices.Clone(r.Attempts), run)
		if n := len(r.Attempts) - maxStacks; n > 0 {
			r.Attempts[n-1].Stack = ""
		}
	}
	switch o.state {
	case millrace.Succeeded:
		r.Result = result
		r.FinishedAt = now
	case millrace.Failed:
		r.FinishedAt = now
	case millrace.Retrying, millrace.Scheduled:
		r.NextAt = now.Add(o.delay)
	}
	return r
}

// How much of an error and of a stack a record keeps, in bytes, and how many of
// the last stacks: a record has to fit in a message.
const (
	maxError  = 2 << 10
	maxStack  = 8 << 10
	maxStacks = 10
)

func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// slim is r without what can be large.
func slim(r millrace.Record) millrace.Record {
	r.Attempts = slices.Clone(r.Attempts)
	for i := range r.Attempts {
		r.Attempts[i].Error, r.Attempts[i].Stack = "", ""
	}
	r.Error, r.Tags = truncate(r.Error, 100), nil
	return r
}

// recordOf is the task's record as it stands, a new one if it has none.
func recordOf(j *job) millrace.Record {
	if j.Record != nil {
		return *j.Record
	}
	t := j.Task
	return millrace.Record{ID: t.ID, Kind: t.Kind, Queue: t.Queue, State: millrace.Pending, Tags: t.Tags, SubmittedAt: t.SubmittedAt}
}

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

// handBackAll hands back at once, so that the notes share a write.
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
	r := recordOf(j)
	if r.State == millrace.Running {
		r.State = millrace.Pending
	}
	r.Lost = j.lost
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.handlerCtx), p.store.AckWait())
	defer cancel()
	if err := p.store.Retry(ctx, j.Delivery, r, 0); err != nil && !errors.Is(err, millrace.ErrConflict) {
		p.log.Warn("cannot hand a task back; it comes again when its lease is over", "task", j.Task.ID, "error", err)
	}
}

func (p *Processor) release(j *job, delay time.Duration) {
	if err := j.Release(delay); err != nil {
		p.log.Warn("cannot hand a task back; it comes again when its lease is over", "task", j.Task.ID, "error", err)
	}
}
