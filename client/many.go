package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"millrace"
)

// Answer is what came of one of many tasks: a receipt, or an error.
type Answer struct {
	Receipt
	Err error
}

// SubmitMany submits tasks and returns an answer for each, in their order. Each is on its
// own: one that is refused keeps no other from being taken. The error is nil if all were;
// else it is the first one that was not, and says how many there are. For more tasks than
// are to be in memory there is [Client.SubmitSeq].
//
// They come to their queue in this order, but for those that the gateway could not take
// at first, and those with an IdempotencyKey, of which several are under way at once. When
// nobody has answered for as long as Config.Patience, what is left gets the error of that.
func (c *Client) SubmitMany(ctx context.Context, tasks []Task) ([]Answer, error) {
	m := many{Client: c}
	answers := make([]Answer, 0, len(tasks))
	m.submit(ctx, slices.Values(tasks), func(_ int, a Answer) bool {
		answers = append(answers, a)
		return true
	})
	for len(answers) < len(tasks) {
		answers = append(answers, Answer{Err: m.over})
	}
	return answers, firstRefused(answers)
}

// SubmitSeq is [Client.SubmitMany] for any number of tasks, of which it has a MiB or 5,000
// in memory: it submits them when so many have come, and at the end. It yields each one's
// number, from 0, and answer, in their order. When the context ends, or nobody has answered
// for as long as Config.Patience, it takes no more of them: the last that it yields have
// the error of that.
func (c *Client) SubmitSeq(ctx context.Context, tasks iter.Seq[Task]) iter.Seq2[int, Answer] {
	return func(yield func(int, Answer) bool) {
		m := many{Client: c}
		m.submit(ctx, tasks, yield)
	}
}

func firstRefused(answers []Answer) (err error) {
	refused := 0
	for i, a := range answers {
		if a.Err == nil {
			continue
		}
		if refused++; refused == 1 {
			err = fmt.Errorf("task %d: %w", i, a.Err)
		}
	}
	if refused > 1 {
		err = fmt.Errorf("%d of %d tasks were not taken: %w", refused, len(answers), err)
	}
	return err
}

// many submits tasks part by part, each with a request. A part is small enough to be kept
// until it is answered, and to be sent again, where its ids let it be done once; and for
// whatever limit a gateway may have.
type many struct {
	*Client
	spent bool  // patience, and no task was taken since
	over  error // why no more tasks are asked for
}

const (
	maxPartBytes = 1 << 20
	maxPartTasks = 5000
)

// oneOfMany is a task and what came of it.
type oneOfMany struct {
	task   Task
	line   []byte // with its end; nil if it is not sent in one
	answer Answer
}

// submit submits tasks and yields their answers, until yield is false or m is over.
func (m *many) submit(ctx context.Context, tasks iter.Seq[Task], yield func(int, Answer) bool) {
	var part []*oneOfMany
	size, number := 0, 0
	flush := func() bool {
		m.submitPart(ctx, part)
		for _, one := range part {
			if !yield(number, one.answer) {
				return false
			}
			number++
		}
		part, size = nil, 0
		return true
	}
	for t := range tasks {
		one := newOneOfMany(t)
		if len(part) == maxPartTasks || len(part) > 0 && size+len(one.line) > maxPartBytes {
			if !flush() {
				return
			}
		}
		part, size = append(part, one), size+len(one.line)
		if m.over != nil {
			break
		}
	}
	flush()
}

func newOneOfMany(t Task) *oneOfMany {
	one := &oneOfMany{task: t}
	if t.IdempotencyKey != "" {
		if t.ID != "" {
			one.answer.Err = fmt.Errorf("%w: task %s has an ID and an IdempotencyKey: one is enough", millrace.ErrInvalid, t.ID)
		}
		return one
	}
	if t.ID == "" {
		t.ID = millrace.NewID()
	}
	line, err := t.body()
	if err != nil {
		one.answer.Err = err
		return one
	}
	t.Args = nil // the line has it
	one.task, one.line = t, append(line, '\n')
	return one
}

// submitPart submits tasks: those without a key in one request, the others beside.
func (m *many) submitPart(ctx context.Context, part []*oneOfMany) {
	var lines []*oneOfMany
	keyed := make(chan *oneOfMany, len(part))
	for _, one := range part {
		switch {
		case one.answer.Err != nil:
		case m.over != nil:
			one.answer.Err = m.over
		case one.line != nil:
			lines = append(lines, one)
		default:
			keyed <- one
		}
	}
	close(keyed)
	var submitting sync.WaitGroup
	for range min(m.cfg.Parallel, len(keyed)) {
		submitting.Go(func() {
			for one := range keyed {
				one.answer.Receipt, one.answer.Err = m.Submit(ctx, one.task)
			}
		})
	}
	m.submitLines(ctx, lines)
	submitting.Wait()
}

// submitLines sends tasks until each is answered for good, or patience or ctx end.
func (m *many) submitLines(ctx context.Context, left []*oneOfMany) {
	moved := time.Now() // when the last one was answered for good
	if m.spent {
		moved = moved.Add(-m.cfg.Patience)
	}
	var before error // what the try before came to
	for pause := firstPause; len(left) > 0; pause = min(2*pause, longestPause) {
		answered, err := m.sendLines(ctx, left)
		refused, isProblem := errors.AsType[*Problem](err)
		if isProblem && !refused.Temporary() {
			answerAll(left, err)
			return
		}
		sent := len(left)
		left = unsettled(left, answered)
		if len(left) < sent {
			m.spent, moved, pause = false, time.Now(), firstPause // it goes on
		}
		if len(left) == 0 {
			return
		}
		wait := time.Duration((0.5 + rand.Float64()) * float64(pause))
		if isProblem {
			wait = max(wait, refused.RetryAfter)
		}
		if ctx.Err() == nil && time.Since(moved)+wait > m.cfg.Patience {
			m.spent, m.over = true, err // nil if the gateway is there: it may take what follows
			answerAll(left, err)
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			before = err
		case <-ctx.Done():
			timer.Stop()
			m.over = ended(ctx, before)
			answerAll(left, m.over)
			return
		}
	}
}

// unsettled are those that are to be sent again: what was not answered, and what the
// gateway cannot take right now.
func unsettled(sent []*oneOfMany, answered int) (left []*oneOfMany) {
	for i, one := range sent {
		if p, ok := errors.AsType[*Problem](one.answer.Err); i >= answered || ok && p.Temporary() {
			left = append(left, one)
		}
	}
	return left
}

// answerAll is the answer to all, but those that have one of their own.
func answerAll(left []*oneOfMany, err error) {
	for _, one := range left {
		if one.answer.Err == nil {
			one.answer.Err = err
		}
	}
}
