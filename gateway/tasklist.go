package gateway

import (
	"context"
	"errors"
	"time"

	"millrace"
	"millrace/streams"
)

type listTasksInput struct {
	State  string    `query:"state" enum:"pending,scheduled,running,retrying,succeeded,failed,cancelled"`
	Queue  string    `query:"queue" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Kind   string    `query:"kind" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$"`
	Tag    string    `query:"tag" maxLength:"64" doc:"One of its tags, as it is."`
	Error  string    `query:"error" maxLength:"200" doc:"A part of the error's text, whatever the case."`
	Since  time.Time `query:"since" doc:"Only those that last changed then or later." example:"2027-03-28T09:00:00+02:00"`
	Until  time.Time `query:"until" doc:"Only those that last changed before."`
	Search string    `query:"q" maxLength:"200" doc:"A part of the id, the kind, a tag, the error, the args or the result, whatever the case. Args and results are searched as they are written in JSON."`
	Limit  int       `query:"limit" minimum:"1" maximum:"200" default:"50"`
	After  string    `query:"after" maxLength:"8000" doc:"Where to go on: next_cursor of the page before, with all else as it was."`
}

type listTasksOutput struct {
	Body struct {
		Tasks         []listedTask `json:"tasks"`
		NextCursor    string       `json:"next_cursor,omitempty" doc:"For the next page; missing on the last one. A page may be short, even empty, and not the last."`
		Looked        int          `json:"looked" doc:"How many entries were looked at for this page."`
		SearchedUntil *time.Time   `json:"searched_until,omitempty" doc:"Not all of what changed before was searched: the next page goes on. Missing on the last one."`
		ArgsGone      int          `json:"args_gone,omitempty" doc:"How many finished tasks q was not looked for in the args of: those are not kept any more."`
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
	HeldBy      string         `json:"held_by,omitempty" doc:"The limit that it waits for."`
	Tags        []string       `json:"tags,omitempty"`
	ChangedAt   time.Time      `json:"changed_at" doc:"When something was last written of it."`
	SubmittedAt time.Time      `json:"submitted_at"`
	NextAt      *time.Time     `json:"next_at,omitempty"`
	FinishedAt  *time.Time     `json:"finished_at,omitempty"`
	ExpiresAt   *time.Time     `json:"expires_at,omitempty"`
}

func (g *Gateway) listTasks(ctx context.Context, in *listTasksInput) (*listTasksOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	page, err := g.store.List(ctx, streams.ListQuery{
		State: millrace.State(in.State), Queue: in.Queue, Kind: in.Kind, Tag: in.Tag, Error: in.Error, Text: in.Search,
		Since: in.Since, Until: in.Until, Limit: in.Limit, Cursor: in.After,
	})
	if errors.Is(err, millrace.ErrInvalid) {
		return nil, refusedFor("query.after", err)
	}
	if err != nil {
		return nil, err
	}
	out := &listTasksOutput{}
	out.Body.Tasks, out.Body.NextCursor = make([]listedTask, len(page.Tasks)), page.Next
	out.Body.Looked, out.Body.SearchedUntil, out.Body.ArgsGone = page.Looked, present(page.SearchedUntil), page.ArgsGone
	for i, t := range page.Tasks {
		out.Body.Tasks[i] = listedTask{
			ID: t.ID, Kind: t.Kind, Queue: t.Queue, State: t.State, Tried: t.Tried, Error: t.Error, HeldBy: t.HeldBy, Tags: t.Tags,
			ChangedAt: t.ChangedAt, SubmittedAt: t.SubmittedAt,
			NextAt: present(t.NextAt), FinishedAt: present(t.FinishedAt), ExpiresAt: present(t.ExpiresAt),
		}
	}
	return out, nil
}
