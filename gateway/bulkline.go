package gateway

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
)

// TaskBody is taskBody where it is embedded, which the encoder asks to be exported.
type TaskBody = taskBody

// bulkBody is a line of a bulk submission.
type bulkBody struct {
	ID string `json:"id,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" doc:"The task's id. To submit the same task under the same id again is to submit it once." example:"report-2027-03-28"`
	TaskBody
}

// lineReader reads lines that are JSON objects as strictly as any body.
type lineReader[T any] struct {
	schema  *huma.Schema
	schemas huma.Registry
	view    jsonView
}

func newLineReader[T any]() *lineReader[T] {
	schemas := huma.NewMapRegistry(schemaPrefix, schemaName) // its own: a line is no body
	schema := schemas.Schema(reflect.TypeFor[T](), false, "")
	return &lineReader[T]{schema, schemas, viewOf(schema, schemas)}
}

// read reads a line. The error tells everything that is wrong, in words for people.
func (l *lineReader[T]) read(line []byte, v *T) error {
	tree, err := readJSON(line, l.view)
	if bad, ok := errors.AsType[*jsonError](err); ok {
		return fmt.Errorf("%s, at byte %d", bad.message, bad.offset)
	}
	found := huma.ValidateResult{}
	huma.Validate(l.schemas, l.schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, tree, &found)
	if len(found.Errors) == 0 {
		return decodeChecked(line, v)
	}
	return joinViolations(found.Errors)
}

// joinViolations is all that is wrong as one error, without the part of the request,
// which is the line.
func joinViolations(violations []error) error {
	var messages []string
	for _, err := range violations {
		message := err.Error()
		if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			message = strings.TrimPrefix(strings.TrimPrefix(shownLocation(d.Location), "body.")+": "+d.Message, ": ")
		}
		messages = append(messages, message)
	}
	return errors.New(clip(strings.Join(messages, "; "), maxMessage))
}

// bulkTask is the task that a line asks for, and when.
type bulkTask struct {
	number int  // of its line, from 1
	own    bool // the id came with the line
	task   millrace.RawTask
	due    time.Time
	unique millrace.Unique // without a key: it is not
	state  millrace.State  // of a unique one

	existing, replaced bool // as well

	replayed bool // it was there already
	err      error
}

// readTask reads a line. The id of a task without one is made by newID.
func (b *bulkDesk) readTask(number int, line []byte, newID func(int) string) bulkTask {
	t := bulkTask{number: number}
	refuse := func(err error) bulkTask {
		t.err = fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
		return t
	}
	var body bulkBody
	if !readPlain(line, &body) {
		body = bulkBody{}
		if err := b.lines.read(line, &body); err != nil {
			return refuse(err)
		}
	}
	t.own, t.task.ID = body.ID != "", body.ID
	options, violations := body.options()
	now := time.Now().UTC()
	due, more := body.due(now)
	unique, _, still := body.unique()
	if violations = slices.Concat(violations, more, still); len(violations) > 0 {
		return refuse(joinViolations(violations))
	}
	queue := body.Queue
	if queue == "" {
		queue = b.store.Route(body.Kind)
	}
	if t.err = b.store.CheckQueue(queue); t.err == nil {
		t.err = b.store.Admit(queue)
	}
	if t.err != nil {
		return t
	}
	t.task = millrace.RawTask{ID: body.ID, Kind: body.Kind, Queue: queue, Args: body.Args, Options: options, SubmittedAt: now}
	if !t.own {
		t.task.ID = newID(number)
	}
	if t.unique = unique; due.After(now) {
		t.due = due
	}
	return t
}
