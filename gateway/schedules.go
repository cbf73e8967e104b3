package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"millrace"
	"millrace/scheduler"
)

// scheduleView is a schedule as the API shows it.
type scheduleView struct {
	Name    string          `json:"name"`
	Kind    string          `json:"kind"`
	Args    json.RawMessage `json:"args,omitempty"`
	Queue   string          `json:"queue,omitempty"`
	At      *time.Time      `json:"at,omitempty"`
	Every   string          `json:"every,omitempty"`
	Cron    string          `json:"cron,omitempty"`
	Zone    string          `json:"zone,omitempty"`
	Overlap string          `json:"overlap,omitempty"`
	OptionsBody
	NextAt   *time.Time  `json:"next_at,omitempty" doc:"When it is due next."`
	Next     []time.Time `json:"next,omitempty" doc:"When it is due the next few times."`
	LastAt   *time.Time  `json:"last_at,omitempty" doc:"The due time that was dealt with last."`
	LastTask string      `json:"last_task,omitempty" doc:"The task that was submitted last for a due time."`
	Skipped  int         `json:"skipped" doc:"How many due times were left out, since the task before was not finished."`
}

func viewSchedule(e scheduler.Entry) scheduleView {
	return scheduleView{
		Name: e.Name, Kind: e.Kind, Args: e.Args, Queue: e.Queue, OptionsBody: optionsOf(e.Options),
		At: present(e.At), Every: shownDuration(e.Every), Cron: e.Cron, Zone: e.Zone, Overlap: e.Overlap,
		NextAt: present(e.NextAt), LastAt: present(e.LastAt), LastTask: e.LastTask, Skipped: e.Skipped,
	}
}

type listSchedulesOutput struct {
	Body struct {
		Schedules []scheduleView `json:"schedules"`
	}
}

func (g *Gateway) listSchedules(ctx context.Context, _ *struct{}) (*listSchedulesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	entries, err := g.book.List(ctx)
	if err != nil {
		return nil, err
	}
	out := &listSchedulesOutput{}
	out.Body.Schedules = make([]scheduleView, len(entries))
	for i, e := range entries {
		out.Body.Schedules[i] = viewSchedule(e)
	}
	return out, nil
}

type scheduleInput struct {
	Name string `path:"name" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
}

type scheduleOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     scheduleView
}

// shownNext is how many due times are shown of a schedule.
const shownNext = 5

func (g *Gateway) getSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	e, err := g.book.Get(ctx, in.Name)
	if err != nil {
		return nil, scheduleMissing(in.Name, err)
	}
	out := &scheduleOutput{Status: http.StatusOK, Body: viewSchedule(e)}
	recurrence, err := scheduler.Parse(e.Schedule)
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %s", e.Name, err) // it was good when it was taken
	}
	for due, ok := e.NextAt, true; ok && len(out.Body.Next) < shownNext; {
		out.Body.Next = append(out.Body.Next, due)
		if now := time.Now(); due.Before(now) {
			due = now // what was missed is made up for once
		}
		due, ok = recurrence.Next(due)
	}
	return out, nil
}

func (g *Gateway) putSchedule(ctx context.Context, in *putScheduleInput) (*scheduleOutput, error) {
	s, violations := in.Body.schedule(in.Name)
	if len(violations) > 0 {
		return nil, fmt.Errorf("%w: %w", millrace.ErrInvalid, errors.Join(violations...))
	}
	if s.Queue != "" {
		if err := g.store.CheckQueue(s.Queue); err != nil {
			return nil, refusedFor("body.queue", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	_, missing := g.book.Get(ctx, in.Name) // what is there and cannot be read, Put replaces
	e, err := g.book.Put(ctx, s)
	if err != nil {
		return nil, err
	}
	out := &scheduleOutput{Status: http.StatusOK, Body: viewSchedule(e)}
	if errors.Is(missing, millrace.ErrNotFound) {
		out.Status, out.Location = http.StatusCreated, "/v1/schedules/"+e.Name
	}
	return out, nil
}

func (g *Gateway) cancelSchedule(ctx context.Context, in *scheduleInput) (*struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	if err := g.book.Cancel(ctx, in.Name); err != nil {
		return nil, scheduleMissing(in.Name, err)
	}
	return &struct{}{}, nil
}

type runScheduleInput struct {
	Name string `path:"name" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"The same key runs the same schedule once, within a day."`
}

func (g *Gateway) runSchedule(ctx context.Context, in *runScheduleInput) (*acceptedTaskOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	answer, replayed, err := once(ctx, g.claims, "run "+in.Name, in.Key, nil, func(ctx context.Context, id string, again bool) (acceptedTask, error) {
		if e, err := g.book.Get(ctx, in.Name); err == nil {
			if err := g.admit(cmp.Or(e.Queue, g.store.Route(e.Kind)), again); err != nil {
				return acceptedTask{}, err
			}
		}
		task, err := g.book.Run(ctx, in.Name, id)
		return acceptedTask{ID: id, Kind: task.Kind, Queue: task.Queue, State: millrace.Pending}, taken(err, again)
	})
	if err != nil {
		return nil, scheduleMissing(in.Name, err)
	}
	return &acceptedTaskOutput{Location: "/v1/tasks/" + answer.ID, Replayed: replayedHeader(replayed), Body: answer}, nil
}

// scheduleMissing says of which schedule it is that there is none.
func scheduleMissing(name string, err error) error {
	if errors.Is(err, millrace.ErrNotFound) {
		return fmt.Errorf("schedule %s: %w", name, millrace.ErrNotFound)
	}
	return err
}
