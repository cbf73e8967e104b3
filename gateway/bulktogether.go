package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
	"millrace/streams"
)

// maxAtomicBytes bounds what is submitted as one: it is in memory until it is.
const maxAtomicBytes = 8 << 20

// together submits all lines, or none. Everything is read before anything is done, so
// here a refusal has a status of its own.
func (b *bulk) together(s *bodyStream) error {
	tasks, err := b.readTogether(newLineSource(s, b.limit, b.cfg.BodyLimit))
	if errors.Is(err, errBrokenOff) {
		return err
	}
	if err == nil {
		err = b.submitTogether(tasks)
	}
	if err != nil {
		return s.refuse(answerer{b.cfg.Logger}.problem(http.MethodPost+" "+bulkPath, err))
	}
	var out bytes.Buffer
	for i := range tasks {
		tasks[i].write(&out)
	}
	_, err = s.Write(out.Bytes())
	return err
}

func (b *bulk) readTogether(in *lineSource) (tasks []bulkTask, err error) {
	var wrong []*huma.ErrorDetail
	for more := true; more; {
		var lines []rawLine
		if lines, err, more = in.next(); err != nil {
			return nil, err
		}
		for _, l := range lines {
			if len(tasks) == streams.MaxTogether {
				p := newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("With atomic=true there may be %d tasks at most.", streams.MaxTogether))
				return nil, p
			}
			t := bulkTask{number: l.number, err: l.err}
			if l.err == nil {
				t = b.readTask(l.number, l.text, b.newID)
				t.task.Trace = b.trace
			}
			switch {
			case t.err != nil:
			case t.unique.Key != "":
				t.err = errors.New("with atomic=true nothing can be unique")
			case !t.due.IsZero():
				t.err = errors.New("with atomic=true nothing can be submitted for later")
			case len(tasks) > 0 && tasks[0].err == nil && t.task.Queue != tasks[0].task.Queue:
				t.err = fmt.Errorf("the queue is %s, and that of line %d is %s: with atomic=true there can be one only", t.task.Queue, tasks[0].number, tasks[0].task.Queue)
			}
			if t.err != nil {
				wrong = append(wrong, lineViolation(t))
			}
			tasks = append(tasks, t)
		}
	}
	if len(wrong) > 0 {
		return nil, refusedLines(problemOf(millrace.ErrInvalid), wrong...)
	}
	return tasks, nil
}

func (b *bulk) submitTogether(tasks []bulkTask) error {
	ctx, cancel := context.WithTimeout(b.base, workTime)
	defer cancel()
	batch := make([]millrace.RawTask, len(tasks))
	for i, t := range tasks {
		batch[i] = t.task
	}
	err := b.store.SubmitTogether(ctx, batch)
	if one, ok := errors.AsType[*streams.TogetherError](err); ok {
		p := problemOf(one.Err)
		if p.Status >= http.StatusInternalServerError {
			return err
		}
		t := tasks[one.Index]
		t.err = one.Err
		return refusedLines(p, lineViolation(t))
	}
	return err
}

func lineViolation(t bulkTask) *huma.ErrorDetail {
	return &huma.ErrorDetail{Location: fmt.Sprintf("body.lines[%d]", t.number), Message: lineMessage(t.err)}
}

// refusedLines is p, because of some lines.
func refusedLines(p *problem, wrong ...*huma.ErrorDetail) *problem {
	p.Detail, p.Errors = "Nothing was submitted, because of some lines. See errors; lines are counted from 1.", wrong
	return p
}
