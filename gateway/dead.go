package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"millrace"
	"millrace/streams"
)

type listDeadInput struct {
	Queue string    `query:"queue" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Kind  string    `query:"kind" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$"`
	Error string    `query:"error" maxLength:"200" doc:"A part of the error's text, whatever the case."`
	Since time.Time `query:"since" doc:"Only those that died then or later." example:"2027-03-28T09:00:00+02:00"`
	Until time.Time `query:"until" doc:"Only those that died before."`
	Limit int       `query:"limit" minimum:"1" maximum:"200" default:"50"`
	After string    `query:"after" maxLength:"100" doc:"Where to go on: next_cursor of the page before, with all else as it was."`
}

type listDeadOutput struct {
	Body struct {
		Tasks         []listedDead `json:"tasks"`
		NextCursor    string       `json:"next_cursor,omitempty" doc:"For the next page; missing on the last one. A page may be short, even empty, and not the last."`
		SearchedUntil *time.Time   `json:"searched_until,omitempty" doc:"When the oldest one died that was looked at for this page."`
	}
}

// listedDead is a dead task as a list shows it: without its args and its stacks, which
// may be large.
type listedDead struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Queue       string    `json:"queue"`
	Error       string    `json:"error" doc:"Why it failed for good."`
	Tried       int       `json:"tried" doc:"How many runs counted, in all its lives."`
	Redrives    int       `json:"redrives,omitempty" doc:"How often it was brought back before."`
	Tags        []string  `json:"tags,omitempty"`
	SubmittedAt time.Time `json:"submitted_at"`
	DiedAt      time.Time `json:"died_at"`
}

func (g *Gateway) listDead(ctx context.Context, in *listDeadInput) (*listDeadOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	page, err := g.store.Dead(ctx, streams.DeadQuery{
		Queue: in.Queue, Kind: in.Kind, Error: in.Error, Since: in.Since, Until: in.Until, Limit: in.Limit, Cursor: in.After,
	})
	if errors.Is(err, millrace.ErrInvalid) {
		return nil, refusedFor("query.after", err)
	}
	if err != nil {
		return nil, err
	}
	out := &listDeadOutput{}
	out.Body.Tasks = make([]listedDead, len(page.Tasks))
	out.Body.NextCursor, out.Body.SearchedUntil = page.Next, present(page.SearchedUntil)
	for i, d := range page.Tasks {
		out.Body.Tasks[i] = listedDead{
			ID: d.ID, Kind: d.Kind, Queue: d.Queue, Error: d.Error, Tried: d.Attempts, Redrives: d.Redrives, Tags: d.Tags,
			SubmittedAt: d.SubmittedAt, DiedAt: d.DiedAt,
		}
	}
	return out, nil
}

type deadInput struct {
	ID string `path:"id" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
}

type getDeadOutput struct {
	Body deadView
}

// deadView is a dead task with all that is kept of it.
type deadView struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	Queue       string          `json:"queue"`
	Args        json.RawMessage `json:"args,omitempty"`
	ArgsGone    bool            `json:"args_gone,omitempty" doc:"Its args are not kept any more: it can be redriven with new ones only."`
	Message     []byte          `json:"message,omitempty" doc:"What was found instead of a task, in Base64. It cannot be redriven."`
	Error       string          `json:"error" doc:"Why it failed for good."`
	Attempts    []attemptView   `json:"attempts" doc:"The runs that count, oldest first."`
	Waits       []waitView      `json:"waits,omitempty" doc:"The last 20 times that it was put off after a run, oldest first."`
	MaxAttempts int             `json:"max_attempts,omitempty" doc:"As it was submitted."`
	Redrives    int             `json:"redrives,omitempty" doc:"How often it was brought back before."`
	Deliveries  int             `json:"deliveries,omitempty" doc:"How often it was handed to a worker, as far as is known."`
	Lost        int             `json:"lost,omitempty" doc:"Deliveries that died with their worker."`
	Tags        []string        `json:"tags,omitempty"`
	SubmittedAt time.Time       `json:"submitted_at"`
	DiedAt      time.Time       `json:"died_at"`
}

func (g *Gateway) getDead(ctx context.Context, in *deadInput) (*getDeadOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	d, err := g.store.DeadTask(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	r := viewTask(d.Record)
	return &getDeadOutput{Body: deadView{
		ID: r.ID, Kind: r.Kind, Queue: r.Queue, Args: d.Task.Args, ArgsGone: d.ArgsGone, Message: d.Dead.Body, Error: r.Error,
		Attempts: r.Attempts, Waits: r.Waits, MaxAttempts: d.Task.MaxAttempts, Redrives: r.Redrives, Deliveries: r.Deliveries,
		Lost: r.Lost, Tags: r.Tags, SubmittedAt: r.SubmittedAt, DiedAt: d.DiedAt,
	}}, nil
}

type redriveDeadInput struct {
	ID   string `path:"id" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Body *redriveBody
}

type redriveBody struct {
	Args json.RawMessage `json:"args,omitempty" doc:"Any JSON value, for the handler, instead of what it has."`
}

type redriveDeadOutput struct {
	Location string `header:"Location"`
	Body     *taskView
}

func (g *Gateway) redriveDead(ctx context.Context, in *redriveDeadInput) (*redriveDeadOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	var args json.RawMessage
	if in.Body != nil && len(in.Body.Args) > 0 {
		args = in.Body.Args
	}
	record, err := g.store.Redrive(ctx, in.ID, args)
	if err != nil {
		return nil, notDead(err)
	}
	return &redriveDeadOutput{Location: "/v1/tasks/" + record.ID, Body: viewTask(record)}, nil
}

func (g *Gateway) discardDead(ctx context.Context, in *deadInput) (*struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return nil, notDead(g.store.Discard(ctx, in.ID))
}

// notDead is err, as it is told of a task that is not dead.
func notDead(err error) error {
	wrong, ok := errors.AsType[*millrace.NotDeadError](err)
	if !ok {
		return err
	}
	p := newProblem(http.StatusConflict, "Task "+wrong.ID+" is not dead: it is "+string(wrong.State)+".")
	p.Type, p.Title, p.State = problemType("not-dead"), "The task is not dead", string(wrong.State)
	return p
}
