package processor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"millrace"
)

// Kind is how the tasks of one kind are carried out, where the submission does not
// say. The zero value is the default of everything.
type Kind struct {
	// MaxAttempts is how often a task may be tried. Zero means
	// [millrace.DefaultMaxAttempts].
	MaxAttempts int
	// Backoff is the wait between attempts. Nil means [millrace.DefaultBackoff].
	Backoff *millrace.Backoff
	// Timeout bounds one attempt by its context. Zero means no limit.
	Timeout time.Duration
	// HardTimeout is when an attempt fails whose handler does not return, though its
	// context has ended; the handler's place is given to another task. Zero means
	// 30 s after Timeout, or never if there is none.
	HardTimeout time.Duration
	// ResultTTL is how long records are kept. Zero means
	// [millrace.DefaultResultTTL].
	ResultTTL time.Duration
}

// handler is a registered kind with its types erased.
type handler struct {
	// call returns what came of each task, or an error for all of them.
	call  func(ctx context.Context, tasks []millrace.RawTask) ([]returned, error)
	kind  Kind
	batch Batch // of one, unless it is a batch handler
}

// returned is what a handler gave back for one task.
type returned struct {
	result json.RawMessage
	err    error
}

// Handle registers the handler of a kind, before [Processor.Run]: A is decoded
// from the task's args and R encoded as its result. What is wrong with the
// registration, Run returns.
//
// An error that the handler returns means that the task is tried again later;
// see [millrace.Permanent] and [millrace.Snooze] for other outcomes. The handler
// must stop when its context ends: then the time is up, the worker is stopping,
// or the task is not this worker's any more. It may run more than once for a task,
// if a worker dies; the task's id is the same each time.
func Handle[A, R any](p *Processor, kind string, fn func(context.Context, millrace.Task[A]) (R, error), k Kind) {
	p.register(kind, fn == nil, handler{kind: k, batch: Batch{Size: 1}, call: func(ctx context.Context, tasks []millrace.RawTask) ([]returned, error) {
		t, err := decodeArgs[A](tasks[0])
		if err != nil {
			return nil, err
		}
		result, err := fn(ctx, t)
		return []returned{encodeResult(result, err)}, nil
	}})
}

func (p *Processor) register(kind string, missing bool, h handler) {
	if missing {
		p.invalid = append(p.invalid, fmt.Errorf("%w: the handler of %q is nil", millrace.ErrInvalid, kind))
	}
	for _, err := range []error{millrace.ValidateKind(kind), h.kind.validate(), h.batch.validate()} {
		if err != nil {
			p.invalid = append(p.invalid, fmt.Errorf("handler of %q: %w", kind, err))
		}
	}
	if _, ok := p.handlers[kind]; ok {
		p.invalid = append(p.invalid, fmt.Errorf("the kind %q has two handlers", kind))
	}
	p.handlers[kind] = h
}

func decodeArgs[A any](raw millrace.RawTask) (millrace.Task[A], error) {
	t := millrace.Task[A]{
		ID: raw.ID, Kind: raw.Kind, Queue: raw.Queue, Options: raw.Options,
		SubmittedAt: raw.SubmittedAt, Tried: raw.Tried, Redrives: raw.Redrives, Spent: raw.Spent, Trace: raw.Trace, Attempt: raw.Attempt,
	}
	if len(raw.Args) > 0 {
		if err := json.Unmarshal(raw.Args, &t.Args); err != nil {
			return t, millrace.Permanent(&argsError{err})
		}
	}
	return t, nil
}

func encodeResult(result any, err error) returned {
	if err != nil {
		return returned{err: err}
	}
	data, err := json.Marshal(result)
	if err != nil {
		err = millrace.Permanent(fmt.Errorf("the result does not encode: %w", err))
	}
	return returned{data, err}
}

func (k Kind) validate() error {
	if k.MaxAttempts < 0 || k.Timeout < 0 || k.HardTimeout < 0 || k.ResultTTL < 0 || k.ResultTTL > time.Duration(millrace.MaxResultTTL) {
		return fmt.Errorf("%w: limits must not be negative, nor the result's time over %s", millrace.ErrInvalid, millrace.MaxResultTTL)
	}
	if k.HardTimeout > 0 && k.HardTimeout < k.Timeout {
		return fmt.Errorf("%w: the hard timeout of %s is before the timeout of %s", millrace.ErrInvalid, k.HardTimeout, k.Timeout)
	}
	if k.Backoff != nil {
		return k.Backoff.Validate()
	}
	return nil
}

// terms are what holds for one task: its own options, else its kind's, else the
// defaults.
type terms struct {
	maxAttempts int
	backoff     millrace.Backoff
	timeout     time.Duration
	hardTimeout time.Duration
	resultTTL   time.Duration
}

// hardGrace is how long a handler may take to notice that its time is over.
const hardGrace = 30 * time.Second

func (h handler) terms(o millrace.Options) terms {
	k := h.kind
	if h.batch.Size > 1 {
		o.Timeout = 0 // see HandleBatch
	}
	t := terms{
		maxAttempts: firstPositive(o.MaxAttempts, k.MaxAttempts, millrace.DefaultMaxAttempts),
		backoff:     millrace.DefaultBackoff(),
		timeout:     firstPositive(time.Duration(o.Timeout), k.Timeout, 0),
		resultTTL:   min(firstPositive(time.Duration(o.ResultTTL), k.ResultTTL, time.Duration(millrace.DefaultResultTTL)), time.Duration(millrace.MaxResultTTL)),
	}
	t.hardTimeout = k.HardTimeout
	if t.timeout > 0 && t.hardTimeout < t.timeout {
		t.hardTimeout = t.timeout + hardGrace
	}
	// A task that was written by another program may hold anything.
	if o.Backoff != nil && o.Backoff.Validate() == nil {
		t.backoff = *o.Backoff
	} else if k.Backoff != nil {
		t.backoff = *k.Backoff
	}
	return t
}

func firstPositive[T int | time.Duration](own, kind, otherwise T) T {
	if own > 0 {
		return own
	}
	if kind > 0 {
		return kind
	}
	return otherwise
}
