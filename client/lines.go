package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	bulkPath   = "/v1/tasks/bulk"
	mediaLines = "application/x-ndjson"
	// maxAnswerLine is how long the answer to a line may be.
	maxAnswerLine = 1 << 20
)

// lineAnswer is the answer to a line.
type lineAnswer struct {
	Line   int `json:"line"`
	Status int `json:"status"`
	Receipt
	Again bool   `json:"replayed"`
	Type  string `json:"type"`
	Error string `json:"error"`
}

// of is the answer to a task.
func (a *lineAnswer) of(t Task) Answer {
	if a.Status >= http.StatusMultipleChoices {
		return Answer{Err: &Problem{Type: a.Type, Title: http.StatusText(a.Status), Detail: a.Error, Status: a.Status}}
	}
	r := a.Receipt
	if r.Replayed = a.Again; r.ID == t.ID { // else it is of another, which is in its way
		r.Kind, r.Queue = t.Kind, t.Queue
	}
	return Answer{Receipt: r}
}

// sendLines sends tasks once, and notes the answers as they come. The error says why not
// all are answered.
func (c *Client) sendLines(ctx context.Context, lines []*oneOfMany) (answered int, err error) {
	var body bytes.Buffer
	for _, one := range lines {
		body.Write(one.line)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	overdue := time.AfterFunc(tryTime, cancel) // the next answer
	defer overdue.Stop()
	req, err := c.spell(ctx, &request{method: http.MethodPost, path: bulkPath, body: body.Bytes(), media: mediaLines})
	if err != nil {
		return 0, err
	}
	resp, err := c.cfg.HTTP.Do(req) // which sends while the answer is read
	if err != nil {
		return 0, &silence{c.base, err}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return 0, &silence{c.base, err}
		}
		return 0, readProblem(resp, data)
	}
	answers := bufio.NewScanner(resp.Body)
	answers.Buffer(nil, maxAnswerLine)
	for ; answered < len(lines) && answers.Scan(); answered++ {
		overdue.Reset(tryTime)
		var a lineAnswer
		if err := json.Unmarshal(answers.Bytes(), &a); err != nil || a.Line != answered+1 || a.Status == 0 {
			return answered, &silence{c.base, fmt.Errorf("it is not as Millrace answers: %.100q", answers.Bytes())}
		}
		lines[answered].answer = a.of(lines[answered].task)
	}
	if answered < len(lines) {
		if err = answers.Err(); err == nil {
			err = errors.New("it ends before the tasks do")
		}
		return answered, &silence{c.base, err}
	}
	return answered, nil
}
