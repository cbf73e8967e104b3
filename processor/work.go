package processor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millrace"
	"millrace/streams"
)

// run is a task on its way through a handler.
type run struct {
	*job
	terms   terms
	attempt millrace.Attempt
	outcome outcome
	returned
}

// start begins the work on the jobs that the dispatcher has a handler's place for:
// one, or a batch of one kind.
func (p *Processor) start(jobs []*job) {
	p.working.Go(func() { p.work(jobs) })
}

// work is the way of a task, or of a batch of them: checks that can end it before it
// begins, its mark if it needs one, the handler, the verdict, and the writing down.
func (p *Processor) work(jobs []*job) {
	h, known := p.handlers[jobs[0].Task.Kind]
	var over, calls []*run
	for _, j := range jobs {
		r := &run{job: j, terms: h.terms(j.Task.Options), attempt: millrace.Attempt{
			Number: max(len(recordOf(j).Attempts), j.Task.Tried) + 1, StartedAt: time.Now().UTC(), Worker: p.cfg.Worker,
		}}
		if p.prejudge(r, known) {
			over = append(over, r)
		} else {
			calls = append(calls, r)
		}
	}
	calls = p.mark(calls)
	p.call(h, calls)
	if len(calls) > 1 {
		p.finish(calls)
	} else {
		over = append(over, calls...)
	}
	for _, r := range over {
		p.finishing <- struct{}{}
		p.working.Go(func() {
			if r.decided.CompareAndSwap(false, true) {
				p.conclude(r)
			}
			<-p.finishing
		})
	}
	p.dispatcher.freed(jobs)
}

// finish lets the outcomes of a batch be written, as soon as there is a place.
func (p *Processor) finish(runs []*run) {
	p.batches <- struct{}{}
	p.working.Go(func() {
		defer func() { <-p.batches }()
		runs = slices.DeleteFunc(runs, func(r *run) bool { return !r.decided.CompareAndSwap(false, true) })
		var concluding sync.WaitGroup
		for _, r := range p.concludeAll(runs) {
			concluding.Go(func() { p.conclude(r) })
		}
		concluding.Wait()
	})
}

// prejudge reports whether the task is not to run, and what becomes of it then.
func (p *Processor) prejudge(r *run, known bool) bool {
	putOff := p.store.PutOff(r.Task.Kind)
	switch {
	case r.Malformed != nil:
		r.outcome = outcome{state: millrace.Failed, reason: r.Malformed.Error()}
	case r.lost >= p.cfg.MaxLost:
		r.outcome = outcome{state: millrace.Failed, reason: fmt.Sprintf("worker lost: %d deliveries of the task died with their worker", r.lost)}
	case putOff > 0:
		r.outcome = outcome{state: millrace.Scheduled, delay: putOff, why: millrace.WaitPause}
	case !known:
		// Another worker may know the kind, or this one after its next release.
		if _, told := p.unknown.LoadOrStore(r.Task.Kind, true); !told {
			p.log.Warn("no handler here for a kind; its tasks wait for a worker that has one", "kind", r.Task.Kind, "queue", r.Task.Queue)
		}
		r.outcome = outcome{state: millrace.Pending, delay: unknownDelay(r.Delivered)}
	default:
		return p.mustWait(r)
	}
	return true
}

// mustWait reports whether a rate keeps the task from being begun now.
func (p *Processor) mustWait(r *run) bool {
	ctx, cancel := context.WithTimeout(p.handlerCtx, p.store.AckWait()/2)
	defer cancel()
	wait, err := p.store.Reserve(ctx, r.Delivery)
	switch {
	case err != nil:
		p.log.Warn("it is not known whether a task may begin; it comes again", "task", r.Task.ID, "error", err)
		r.outcome = outcome{state: millrace.Pending, delay: time.Second}
	case wait > 0:
		r.outcome = outcome{state: millrace.Scheduled, delay: wait, why: millrace.WaitLimit}
	default:
		return false
	}
	return true
}

// unknownDelay is how long a task waits that no handler of this worker is for. A
// worker that has one may be beside this, and the task comes to any of them: so it
// is short at first, and long once there seems to be none.
func unknownDelay(delivered uint64) time.Duration {
	return min(100*time.Millisecond<<min(delivered-min(delivered, unknownTries), 9), 30*time.Second)
}

// unknownTries is how often a task comes again soon.
const unknownTries = 20

// mark writes down that deliveries run which may be the death of their worker, and
// returns those that may run now. The others come again: they are not this worker's
// to conclude.
func (p *Processor) mark(runs []*run) []*run {
	var marks []streams.Noted
	for _, r := range runs {
		if r.marked {
			marks = append(marks, streams.Noted{Delivery: r.Delivery, Current: running(r.job)})
		}
	}
	if len(marks) == 0 {
		return runs
	}
	ctx, cancel := context.WithTimeout(p.handlerCtx, p.store.AckWait())
	defer cancel()
	errs := p.store.NoteAll(ctx, marks)
	return slices.DeleteFunc(runs, func(r *run) bool {
		if !r.marked {
			return false
		}
		err := errs[0]
		if errs = errs[1:]; err == nil {
			return false
		}
		// In case of a conflict somebody else has it, has finished it, or has replaced it:
		// the next delivery sees their record.
		pause := time.Second
		if errors.Is(err, millrace.ErrConflict) && p.replaced(ctx, r.job) {
			pause = 0
		} else {
			p.log.Warn("cannot mark a task as running; it comes again", "task", r.Task.ID, "error", err)
		}
		p.release(r.job, pause)
		p.leases.drop(r.job)
		return true
	})
}

// call runs the handler for those of the tasks that are still ours, within its time.
func (p *Processor) call(h handler, runs []*run) {
	ctx, cancel := context.WithCancelCause(p.handlerCtx)
	defer cancel(nil)
	runs = p.hold(runs, cancel)
	if len(runs) == 0 {
		return
	}
	limits := runs[0].terms // a batch has those of its kind
	if limits.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, limits.timeout)
		defer stop()
	}
	tasks := make([]millrace.RawTask, len(runs))
	for i, r := range runs {
		tasks[i] = r.Task
		tasks[i].Attempt = r.attempt.Number
		tasks[i].Trace = p.placeOf(r.Task)
	}
	if len(runs) == 1 { // many come from as many traces
		ctx = millrace.WithTaskID(millrace.WithTrace(ctx, tasks[0].Trace), tasks[0].ID)
	}
	given, err := p.protect(context.WithValue(ctx, reporterKey{}, reporter{p.reports, runs}), h, tasks, limits.hardTimeout)
	cause := context.Cause(ctx)
	for i, r := range runs {
		if err != nil {
			r.err = err
		} else {
			r.returned = given[i]
		}
		if n := len(r.result); r.err == nil && n > p.cfg.MaxResult {
			r.err = millrace.Permanent(fmt.Errorf("the result has %d bytes, and a record takes %d: keep large results elsewhere and return where", n, p.cfg.MaxResult))
		}
		r.outcome = judge(r.err, cause, r.attempt.Number-r.Task.Spent, r.terms, rand.Float64())
	}
	p.trace(runs, tasks, cause)
}

// hold lets the leases on the tasks end their context, when the last of them is lost
// or called off. It returns the tasks that are this worker's still; the others are
// handed back.
func (p *Processor) hold(runs []*run, cancel context.CancelCauseFunc) []*run {
	var held []*run
	var left atomic.Int64
	left.Store(int64(len(runs)))
	for _, r := range runs {
		var once sync.Once
		end := func(cause error) {
			once.Do(func() {
				if left.Add(-1) == 0 {
					cancel(cause)
				}
			})
		}
		if p.leases.running(r.job, end) {
			held = append(held, r)
		} else {
			r.outcome = outcome{state: millrace.Pending}
			end(errLeaseLost)
		}
	}
	return held
}
