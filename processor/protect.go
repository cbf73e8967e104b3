package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"millrace"
)

// protect calls the handler on a goroutine of its own, so that neither a panic nor
// the end of the goroutine (runtime.Goexit, as a test's FailNow does) goes further.
//
// It does not wait for ever: past the hard limit, or when the task is no more this
// worker's and the handler does not notice, the handler is left alone, and what it
// may still return is dropped. Go cannot end a goroutine, so it stays until it ends
// by itself; [Processor.Ready] tells when there are too many of those.
func (p *Processor) protect(ctx context.Context, h handler, tasks []millrace.RawTask, hard time.Duration) ([]returned, error) {
	done := make(chan answer, 1)
	go func() { // stackOfHandler knows it by who made it
		a := answer{err: errGoexit}
		defer func() {
			if v := recover(); v != nil {
				a.err = &panicError{value: v, stack: string(debug.Stack())}
			}
			done <- a
		}()
		a.all, a.err = h.call(ctx, tasks)
	}()

	var limit, grace <-chan time.Time
	if hard > 0 {
		timer := time.NewTimer(hard)
		defer timer.Stop()
		limit = timer.C
	}
	ended, why := ctx.Done(), ""
	for {
		select {
		case a := <-done:
			return a.all, a.err
		case <-ended:
			ended = nil
			if why = taken(context.Cause(ctx)); why != "" {
				timer := time.NewTimer(p.cfg.CancelGrace)
				defer timer.Stop()
				grace = timer.C
			}
		case <-limit:
			return nil, p.giveUp(tasks, done, "timed out", hard)
		case <-grace:
			return nil, p.giveUp(tasks, done, why, p.cfg.CancelGrace)
		}
	}
}

// answer is what came of calling a handler.
type answer struct {
	all []returned
	err error
}

// taken says how a task came not to be this worker's any more, which ended the context
// of its handler; empty if it still is.
func taken(cause error) string {
	switch {
	case errors.Is(cause, millrace.ErrCancelled):
		return "cancelled"
	case errors.Is(cause, errLeaseLost):
		return "lease lost"
	}
	return ""
}

// giveUp leaves the handler alone that the current goroutine protects.
func (p *Processor) giveUp(tasks []millrace.RawTask, done <-chan answer, why string, within time.Duration) error {
	stuck := &stuckError{why, within, stackOfHandler()}
	log := p.log.With("task", tasks[0].ID, "kind", tasks[0].Kind, "tasks", len(tasks))
	log.Error("a handler does not return; its place is given to another task", "error", stuck, "stuck", p.stuck.Add(1), "stack", stuck.stack)
	go func() {
		<-done
		log.Info("a handler returned that had been given up", "stuck", p.stuck.Add(-1))
	}()
	return stuck
}

var errGoexit = errors.New("the handler ended its goroutine instead of returning")

// panicError is a handler's panic as an error.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// stuckError is what comes of a handler that did not return in time.
type stuckError struct {
	why    string
	within time.Duration
	stack  string
}

func (e *stuckError) Error() string {
	return fmt.Sprintf("%s: the handler did not return within %s", e.why, e.within)
}

// Ready says why the worker should be given no more tasks: half of as many handlers as
// it may run do not return, or it is stopping. Nil means that it takes them.
func (p *Processor) Ready() error {
	if p.stopping.Load() {
		return errors.New("the worker is stopping")
	}
	if n, most := p.stuck.Load(), p.concurrency.Load(); n > 0 && 2*n >= most {
		return fmt.Errorf("%d handlers do not return, of %d at once: look at the log for their stacks, mend them, and start the worker anew", n, most)
	}
	return nil
}

// stackOfHandler is the stack of the handler that the current goroutine protects, empty
// if it has just returned.
//
// No handler has to tell the name of its goroutine for that, which would cost each run
// more than the goroutine does: a dump of all begins with whoever asks for it, as in
// "goroutine 7 [running]:", and the stack of another ends with who made it, as in
// "created by millrace/processor.(*Processor).protect in goroutine 7".
func stackOfHandler() string {
	// The world stands still while it is written, for 1 ms per 400 goroutines.
	for size := 1 << 20; size <= 64<<20; size *= 8 {
		buf := make([]byte, size)
		dump := buf[:runtime.Stack(buf, true)]
		self, _, _ := bytes.Cut(dump, []byte(" ["))
		made := append([]byte(".(*Processor).protect in "), append(self, '\n')...)
		for block := range bytes.SplitSeq(dump, []byte("\n\n")) {
			if bytes.Contains(block, made) {
				return string(block)
			}
		}
		if len(dump) < size {
			break // that were all of them
		}
	}
	return ""
}
