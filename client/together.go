package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"millrace"
)

// SubmitTogether submits tasks of one queue, all of them or none: 1,000 at most, in 8 MiB,
// and none for later. The receipts are in their order. With an error nothing was submitted,
// but with [millrace.ErrUnavailable] nobody knows: with an ID for each, to submit them again
// is safe.
//
// Other errors wrap [millrace.ErrInvalid] or, if an ID is taken by another task,
// [millrace.ErrConflict]: then the [Problem] says in Errors which tasks it was, as
// "body.lines[3]", counted from 1.
func (c *Client) SubmitTogether(ctx context.Context, tasks []Task) ([]Receipt, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	var body bytes.Buffer
	named := make([]Task, len(tasks))
	for i, t := range tasks {
		if t.IdempotencyKey != "" {
			return nil, fmt.Errorf("%w: task %d has an IdempotencyKey: together, tasks are named by an ID", millrace.ErrInvalid, i)
		}
		if t.ID == "" {
			t.ID = millrace.NewID()
		}
		named[i] = t
		line, err := t.body()
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", i, err)
		}
		body.Write(line)
		body.WriteByte('\n')
	}
	r := request{method: http.MethodPost, path: bulkPath + "?atomic=true", body: body.Bytes(), media: mediaLines}
	_, data, err := c.insist(ctx, &r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	receipts := make([]Receipt, 0, len(tasks))
	for line := range bytes.Lines(data) {
		var a lineAnswer
		if err := json.Unmarshal(line, &a); err != nil || len(receipts) == len(tasks) || a.Line != len(receipts)+1 || a.Status >= http.StatusMultipleChoices {
			return nil, fmt.Errorf("%s %s: the answer is not as Millrace answers: %.100q", r.method, r.path, line)
		}
		receipts = append(receipts, a.of(named[len(receipts)]).Receipt)
	}
	if len(receipts) < len(tasks) {
		return nil, fmt.Errorf("%s %s: %d of %d tasks are answered, though all are submitted", r.method, r.path, len(receipts), len(tasks))
	}
	return receipts, nil
}
