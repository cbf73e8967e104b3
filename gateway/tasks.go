package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
	"millrace/streams"
)

// acceptedTask is the answer to a submission.
type acceptedTask struct {
	ID     string         `json:"id"`
	Kind   string         `json:"kind"`
	Queue  string         `json:"queue"`
	State  millrace.State `json:"state,omitempty" enum:"pending,scheduled,running,retrying,succeeded,failed,cancelled" example:"pending"`
	NextAt *time.Time     `json:"next_at,omitempty" doc:"When it may run, if it is scheduled."`

	Existing bool `json:"existing,omitempty" doc:"Whether it is a task from before, which has the unique key. Its state may be any then, and is missing if its record has expired."`
	Replaced bool `json:"replaced,omitempty" doc:"Whether that task has got args, options and time of this submission."`
}

type acceptedTaskOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed" doc:"\"true\" if the Idempotency-Key was used before, and this is the first answer again: the state is what it was then."`
	Body     acceptedTask
}

func (g *Gateway) submitTask(ctx context.Context, in *submitTaskInput) (*acceptedTaskOutput, error) {
	options, violations := in.Body.options()
	if len(violations) > 0 {
		return nil, fmt.Errorf("%w: %w", millrace.ErrInvalid, errors.Join(violations...))
	}
	queue := in.Body.Queue
	if queue == "" {
		queue = g.store.Route(in.Body.Kind)
	}
	if err := g.store.CheckQueue(queue); err != nil {
		return nil, refusedFor("body.queue", err)
	}
	task := millrace.RawTask{
		Kind: in.Body.Kind, Queue: queue, Args: in.Body.Args, Options: options, SubmittedAt: time.Now().UTC(),
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	answer, replayed, err := once(ctx, g.claims, "task", in.Key, in.RawBody, func(ctx context.Context, id string, again bool) (acceptedTask, error) {
		if err := g.admit(queue, again); err != nil {
			return acceptedTask{}, err
		}
		task.ID = id
		answer := acceptedTask{ID: id, Kind: task.Kind, Queue: task.Queue, State: millrace.Pending}
		// The id was made when the request came first. So one that is sent again does
		// not put the task off. Ids go on growing when the clock is put back: then it counts.
		asked, _ := millrace.MadeAt(id)
		if now := time.Now(); asked.After(now) {
			asked = now
		}
		due, _ := in.Body.due(asked)
		if unique, _, _ := in.Body.unique(); unique.Key != "" {
			return g.submitUnique(ctx, task, due, unique, again)
		}
		if due.After(time.Now()) {
			answer.State, answer.NextAt = millrace.Scheduled, &due
		}
		return answer, taken(g.store.SubmitAt(ctx, task, due), again)
	})
	if err != nil {
		return nil, err
	}
	return &acceptedTaskOutput{Location: "/v1/tasks/" + answer.ID, Replayed: replayedHeader(replayed), Body: answer}, nil
}

// taken is err, unless it is that the id is taken by this very request: the id is
// its claim's.
func taken(err error, again bool) error {
	if again && errors.Is(err, millrace.ErrConflict) {
		return nil
	}
	return err
}

func replayedHeader(replayed bool) string {
	if replayed {
		return "true"
	}
	return ""
}

type getTaskInput struct {
	ID          string `path:"id" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Wait        string `query:"wait" doc:"How long to wait for the task to finish." example:"30s"`
	Args        bool   `query:"args" doc:"Show its args as well."`
	IfNoneMatch string `header:"If-None-Match"`
}

type getTaskOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *taskView
}

// taskView is a task as the API shows it.
type taskView struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	Queue       string          `json:"queue"`
	State       millrace.State  `json:"state" enum:"pending,scheduled,running,retrying,succeeded,failed,cancelled"`
	Attempts    []attemptView   `json:"attempts" doc:"The runs that count, oldest first."`
	Waits       []waitView      `json:"waits,omitempty" doc:"The last 20 times that it was put off after a run, oldest first."`
	Args        json.RawMessage `json:"args,omitempty" doc:"What its handler is given; only if that was asked for."`
	ArgsGone    bool            `json:"args_gone,omitempty" doc:"Args were asked for, and are not kept any more."`
	Result      json.RawMessage `json:"result,omitempty" doc:"What the handler returned."`
	Error       string          `json:"error,omitempty" doc:"Why the last attempt failed, or the task did."`
	Progress    *progressView   `json:"progress,omitempty" doc:"What the handler said last of how far it is."`
	Deliveries  int             `json:"deliveries,omitempty" doc:"How often it was handed to a worker, as far as is known."`
	Redrives    int             `json:"redrives,omitempty" doc:"How often it was brought back from among the dead."`
	Lost        int             `json:"lost,omitempty" doc:"Deliveries that died with their worker."`
	Tags        []string        `json:"tags,omitempty"`
	HeldBy      string          `json:"held_by,omitempty" doc:"The limit that a pending task waits for."`
	SubmittedAt time.Time       `json:"submitted_at"`
	NextAt      *time.Time      `json:"next_at,omitempty" doc:"When it is due again."`
	FinishedAt  *time.Time      `json:"finished_at,omitempty"`
	ExpiresAt   *time.Time      `json:"expires_at,omitempty" doc:"When this record goes."`
}

type progressView struct {
	Done  int       `json:"done"`
	Total int       `json:"total,omitempty"`
	Note  string    `json:"note,omitempty"`
	At    time.Time `json:"at"`
}

type attemptView struct {
	Number    int       `json:"number"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	Worker    string    `json:"worker"`
	Error     string    `json:"error,omitempty"`
	Stack     string    `json:"stack,omitempty"`
}

type waitView struct {
	Since time.Time          `json:"since"`
	Until time.Time          `json:"until" doc:"When it is due again."`
	Why   millrace.WaitCause `json:"why" enum:"retry,snooze,limit,pause" doc:"retry is the backoff after an attempt that failed, snooze what the handler asked for, limit until the rate of its kind or of its key let it begin, pause that its kind is paused."`
}

func (g *Gateway) getTask(ctx context.Context, in *getTaskInput) (*getTaskOutput, error) {
	found, err := g.findTask(ctx, in.ID, in.Wait)
	if err != nil {
		return nil, err
	}
	out := &getTaskOutput{Status: http.StatusOK, ETag: etag(found.Version)}
	if matchesETag(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
		return out, nil
	}
	out.Body = viewTask(found.Record)
	if in.Args {
		args, kept, err := g.store.Args(ctx, found.Record)
		if err != nil {
			return nil, err
		}
		out.Body.Args, out.Body.ArgsGone = args, !kept
	}
	return out, nil
}

// findTask looks at the task, and waits if it is to.
func (g *Gateway) findTask(ctx context.Context, id, wait string) (streams.Found, error) {
	var patience time.Duration
	if wait != "" {
		var err error
		if patience, err = time.ParseDuration(wait); err != nil || patience < 0 || patience > g.cfg.MaxWait {
			return streams.Found{}, refusedFor("query.wait", fmt.Errorf("%w: wait must be a duration of 0s to %s, as in \"30s\"", millrace.ErrInvalid, g.cfg.MaxWait))
		}
	}
	found, err := g.store.Lookup(ctx, id)
	if err != nil || patience == 0 || found.Record.State.Final() {
		return found, err
	}
	ctx, cancel := context.WithTimeout(g.stopping, patience)
	defer cancel()
	later, err := g.store.Wait(ctx, id)
	if err != nil && ctx.Err() != nil {
		return found, nil // the time was up before there was more to see
	}
	return later, err
}

type cancelTaskInput struct {
	ID string `path:"id" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
}

type cancelTaskOutput struct {
	Body *taskView
}

func (g *Gateway) cancelTask(ctx context.Context, in *cancelTaskInput) (*cancelTaskOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	record, err := g.store.Cancel(ctx, in.ID)
	if final, ok := errors.AsType[*millrace.FinalError](err); ok {
		p := newProblem(http.StatusConflict, fmt.Sprintf("Task %s cannot be cancelled: it has %s already.", final.ID, final.State))
		p.Type, p.Title, p.State = problemType("finished"), "The task is finished", string(final.State)
		return nil, p
	}
	if err != nil {
		return nil, err
	}
	return &cancelTaskOutput{Body: viewTask(record)}, nil
}

// refusedFor is for what only the store can tell of an input: a violation there.
func refusedFor(location string, err error) error {
	p := newProblem(http.StatusUnprocessableEntity, err.Error())
	p.Type, p.Title = problemType("invalid"), "Not valid"
	p.Errors = []*huma.ErrorDetail{{Location: location, Message: err.Error()}}
	return p
}

func viewTask(r millrace.Record) *taskView {
	v := &taskView{
		ID: r.ID, Kind: r.Kind, Queue: r.Queue, State: r.State, Attempts: make([]attemptView, len(r.Attempts)),
		Result: r.Result, Error: r.Error, Deliveries: r.Deliveries, Redrives: r.Redrives, Lost: r.Died(), Tags: r.Tags, HeldBy: r.HeldBy, SubmittedAt: r.SubmittedAt,
		NextAt: present(r.NextAt), FinishedAt: present(r.FinishedAt), ExpiresAt: present(r.ExpiresAt),
	}
	if r.Progress != (millrace.Progress{}) {
		progress := progressView(r.Progress)
		v.Progress = &progress
	}
	for i, a := range r.Attempts {
		v.Attempts[i] = attemptView(a)
	}
	for _, w := range r.Waits {
		v.Waits = append(v.Waits, waitView(w))
	}
	return v
}

func present(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
