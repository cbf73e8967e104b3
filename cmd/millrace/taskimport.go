package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"millrace"
)

type taskImportCmd struct {
	clientFlags
	File   string `arg:"" help:"The tasks, one JSON object a line, as for POST /v1/tasks and with an id if you like; \"-\" reads standard input."`
	Atomic bool   `help:"All of them or none: 1,000 tasks of one queue at most."`
	Key    string `name:"idempotency-key" help:"The same file with the same key is submitted once. Lines with an id of their own need none."`
}

// taskLine is a line of the file that is not blank.
type taskLine struct {
	number int
	end    int64 // how many bytes of the file have been read with it
	data   []byte
}

// taskAnswer is what the API answers to a line, and what --json prints of it.
type taskAnswer struct {
	Line     int        `json:"line"`
	Status   int        `json:"status"`
	ID       string     `json:"id,omitempty"`
	State    string     `json:"state,omitempty"`
	NextAt   *time.Time `json:"next_at,omitempty"`
	Replayed bool       `json:"replayed,omitempty"`
	Error    string     `json:"error,omitempty"`
}

// maxPart is how large the requests are that a file is sent in. Each is small enough
// to be sent again, and for whatever limit a server may have.
const maxPart = 1 << 20

// Run submits the tasks of a file, part by part. Lines without an id get one, so what
// has to be sent again is done once.
func (c *taskImportCmd) Run(ctx context.Context, stdio stdio) error {
	in, size, err := openInput(c.File, stdio)
	if err != nil {
		return err
	}
	defer in.Close()
	key := c.Key
	if key == "" {
		key = millrace.NewID()
	}
	r := newReport(c.JSON, stdio, size)
	r.what = "tasks"
	if c.Atomic {
		err = c.together(ctx, in, key, r)
	} else {
		err = readTasks(in, key, maxPart, func(part []taskLine) error { return c.submit(ctx, part, r) })
	}
	r.finish()
	switch {
	case err != nil && !c.Atomic:
		return fmt.Errorf("stopped after %d lines; run it again %s to go on, nothing is submitted twice: %w", r.accepted+len(r.refused), c.again(key), err)
	case err != nil:
		return err
	case len(r.refused) > 0:
		return errReported
	}
	return nil
}

// again says how to run it so that it is the same import.
func (c *taskImportCmd) again(key string) string {
	if c.Key != "" {
		return "as it is"
	}
	return "with --idempotency-key " + key
}

// readTasks calls do with the lines of a file, so many bytes of them at once.
func readTasks(in io.Reader, key string, atOnce int, do func([]taskLine) error) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	var part []taskLine
	var end int64
	size, number := 0, 1
	for ; scanner.Scan(); number++ {
		end += int64(len(scanner.Bytes())) + 1
		data := bytes.TrimSpace(bytes.TrimPrefix(scanner.Bytes(), []byte("\xef\xbb\xbf")))
		if len(data) == 0 {
			continue
		}
		l := taskLine{number, end, withTaskID(data, key, number)}
		if size += len(l.data) + 1; size > atOnce && len(part) > 0 {
			if err := do(part); err != nil {
				return err
			}
			part, size = nil, len(l.data)+1
		}
		part = append(part, l)
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d has more than %d MiB", number, maxLine>>20)
	}
	if scanner.Err() != nil || len(part) == 0 {
		return scanner.Err()
	}
	return do(part)
}

// withTaskID gives a task an id, unless it has one. What is no JSON object is for the
// server to refuse.
func withTaskID(data []byte, key string, number int) []byte {
	var task map[string]json.RawMessage
	if json.Unmarshal(data, &task) != nil || task == nil {
		return bytes.Clone(data)
	}
	if _, own := task["id"]; own {
		return bytes.Clone(data)
	}
	separator := ","
	if len(task) == 0 {
		separator = ""
	}
	open := bytes.IndexByte(data, '{') + 1
	return fmt.Appendf(nil, `%s"id":%q%s%s`, data[:open], millrace.DeriveID("task import", key, strconv.Itoa(number)), separator, data[open:])
}

// submit submits a part, and again what the server cannot take right now. The error is
// for what concerns every line.
func (c *taskImportCmd) submit(ctx context.Context, part []taskLine, r *report) error {
	pause := placePause
	for try := 1; ; try++ {
		answers, err := c.send(ctx, "/v1/tasks/bulk", part)
		var again []taskLine
		for _, a := range answers {
			l := part[a.Line-1]
			if a.Status >= http.StatusInternalServerError {
				again = append(again, l)
				if err == nil {
					err = errors.New(a.Error)
				}
				continue
			}
			r.noteTask(l, a)
		}
		part = append(again, part[len(answers):]...)
		var refused *problem
		switch isProblem := errors.As(err, &refused); {
		case isProblem && refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
			return err
		case isProblem:
			pause = max(pause, refused.retryAfter)
		}
		if len(part) == 0 {
			return nil
		}
		if len(answers) > len(again) {
			try, pause = 1, placePause // it goes on
		}
		if ctx.Err() != nil || try == placeTries {
			return err
		}
		select {
		case <-time.After(min(pause, longestPause)):
		case <-ctx.Done():
		}
		pause *= 2
	}
}

// together submits all lines as one.
func (c *taskImportCmd) together(ctx context.Context, in io.Reader, key string, r *report) error {
	var all []taskLine
	if err := readTasks(in, key, maxLine, func(part []taskLine) error {
		if all != nil {
			return fmt.Errorf("%s has more than %d MiB, which is too much for --atomic", c.File, maxLine>>20)
		}
		all = part
		return nil
	}); err != nil {
		return err
	}
	answers, err := c.send(ctx, "/v1/tasks/bulk?atomic=true", all)
	if err == nil && len(answers) != len(all) {
		err = errors.New("the server's answer is broken off")
	}
	for _, a := range answers {
		r.noteTask(all[a.Line-1], a)
	}
	var refused *problem
	if err == nil || errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
		return err
	}
	return fmt.Errorf("nobody knows whether they are submitted; run it again %s to be sure, nothing is submitted twice: %w", c.again(key), err)
}

// send submits lines, and returns the answers in their order, as far as they came.
func (c *taskImportCmd) send(ctx context.Context, path string, part []taskLine) ([]taskAnswer, error) {
	var body bytes.Buffer
	for _, l := range part {
		body.Write(l.data)
		body.WriteByte('\n')
	}
	data, err := c.call(ctx, http.MethodPost, path, body.Bytes(), http.Header{"Content-Type": {"application/x-ndjson"}})
	if err != nil {
		return nil, err
	}
	var answers []taskAnswer
	for line := range bytes.Lines(data) {
		var a taskAnswer
		if err := json.Unmarshal(line, &a); err != nil || a.Line != len(answers)+1 || a.Line > len(part) {
			return answers, fmt.Errorf("the server's answer is not as Millrace answers: %.100q", line)
		}
		answers = append(answers, a)
	}
	if len(answers) < len(part) {
		err = errors.New("the server does not answer every line")
	}
	return answers, err
}

// noteTask adds the answer to a line of the file.
func (r *report) noteTask(l taskLine, a taskAnswer) {
	a.Line = l.number
	r.note(imported{Line: a.Line, Reference: a.ID, Error: a.Error}, a, l.end)
}
