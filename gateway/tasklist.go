package gateway

import (
	"context"
	"errors"
	"time"

	"millrace"
	"millrace/streams"
)

type listTasksInput struct {
	State  string `query:"state" enum:"pending,scheduled,running,retrying,succeeded,failed,cancelled"`
	Kind   string `query:"kind" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$"`
	Queue  string `query:"queue" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor string `query:"cursor" maxLength:"100" doc:"Where to go on: next_cursor of the page before."`
}

type listTasksOutput struct {
	Body struct {
		Tasks      []listedTask `json:"tasks"`
		NextCursor string       `json:"next_cursor,omitempty" doc:"For the next page; missing on the last one. A page may be short, and not the last."`
	}
}

// listedTask is a task as a list shows it: without its result and its attempts,
// which may be large.
type listedTask struct {
	ID          string         `json:"id"`
	Kind        string         `json:"kind"`
	Queue       string         `json:"queue"`
	State       millrace.State `json:"state"`
	Tried       int            `json:"tried" doc:"How many runs counted so far."`
	Error       string         `json:"error,omitempty"`
	Tags        []string       `json:"tags,omitempty"`
	SubmittedAt time.Time      `json:"submitted_at"`
	NextAt      *time.Time     `json:"next_at,omitempty"`
	FinishedAt  *time.Time     `json:"finished_at,omitempty"`
	ExpiresAt   *time.Time     `json:"expires_at,omitempty"`
}

func (g *Gateway) listTasks(ctx context.Context, in *listTasksInput) (*listTasksOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	found, next, err := g.store.List(ctx, streams.ListQuery{
		State: millrace.State(in.State), Kind: in.Kind, Queue: in.Queue, Limit: in.Limit, Cursor: in.Cursor,
	})
	if errors.Is(err, millrace.ErrInvalid) {
		return nil, refusedFor("query.cursor", err)
	}
	if err != nil {
		return nil, err
	}
	out := &listTasksOutput{}
	out.Body.Tasks, out.Body.NextCursor = make([]listedTask, len(found)), next
	for i, r := range found {
		out.Body.Tasks[i] = listedTask{
			ID: r.ID, Kind: r.Kind, Queue: r.Queue, State: r.State, Tried: len(r.Attempts), Error: r.Error, Tags: r.Tags,
			SubmittedAt: r.SubmittedAt, NextAt: present(r.NextAt), FinishedAt: present(r.FinishedAt), ExpiresAt: present(r.ExpiresAt),
		}
	}
	return out, nil
}
