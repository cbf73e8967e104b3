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
	type answer struct {
		all []returned
		err error
	}
	done := make(chan answer, 1)
	name := make(chan []byte, 1)
	go func() {
		a := answer{err: errGoexit}
		defer func() {
			if v := recover(); v != nil {
				a.err = &panicError{value: v, stack: string(debug.Stack())}
			}
			done <- a
		}()
		if hard > 0 {
			name <- goroutineName()
		}
		a.all, a.err = h.call(ctx, tasks)
	}()

	var limit, grace <-chan time.Time
	if hard > 0 {
		timer := time.NewTimer(hard)
		defer timer.Stop()
		limit = timer.C
	}
	ended := ctx.Done()
	for {
		select {
		case a := <-done:
			return a.all, a.err
		case <-ended:
			ended = nil
			if cause := context.Cause(ctx); errors.Is(cause, millrace.ErrCancelled) || errors.Is(cause, errLeaseLost) {
				timer := time.NewTimer(p.cfg.CancelGrace)
				defer timer.Stop()
				grace = timer.C
			}
			continue
		case <-limit:
		case <-grace:
		}
		stuck := &stuckError{after: hard}
		if hard > 0 {
			stuck.stack = stackOf(<-name)
		}
		log := p.log.With("task", tasks[0].ID, "kind", tasks[0].Kind, "tasks", len(tasks))
		log.Error("a handler does not return; its place is given to another task", "stuck", p.stuck.Add(1), "stack", stuck.stack)
		go func() {
			<-done
			log.Info("a handler returned that had been given up", "stuck", p.stuck.Add(-1))
		}()
		return nil, stuck
	}
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
	after time.Duration
	stack string
}

func (e *stuckError) Error() string {
	return fmt.Sprintf("timed out: the handler did not return within %s", e.after)
}

// Ready says whether the worker has handlers to give: an error that wraps
// [millrace.ErrUnavailable] when half of as many as it may run do not return.
func (p *Processor) Ready() error {
	if n := int(p.stuck.Load()); n > 0 && 2*n >= p.cfg.Concurrency {
		return fmt.Errorf("%w: %d handlers do not return, of %d at once: look at the log for their stacks, mend them, and start the worker anew", millrace.ErrUnavailable, n, p.cfg.Concurrency)
	}
	return nil
}

// goroutineName is how the current goroutine is called in a dump of all: the start
// of its first line, "goroutine 7 ".
func goroutineName() []byte {
	buf := make([]byte, 32)
	buf = buf[:runtime.Stack(buf, false)]
	if i := bytes.IndexByte(buf, '['); i > 0 {
		return buf[:i]
	}
	return nil
}

// stackOf is the stack of another goroutine, empty if it is not found.
func stackOf(name []byte) string {
	buf := make([]byte, 4<<20) // the world stands still while it is written
	for block := range bytes.SplitSeq(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		if len(name) > 0 && bytes.HasPrefix(block, name) {
			return string(block)
		}
	}
	return ""
}
