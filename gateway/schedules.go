package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"millrace"
	"millrace/scheduler"
)

// scheduleView is a schedule as the API shows it.
type scheduleView struct {
	Name string `json:"name"`
	ScheduleFields
	NextAt   *time.Time  `json:"next_at,omitempty" doc:"When it is due next."`
	MomentAt *time.Time  `json:"next_submit_at,omitempty" doc:"When the task of next_at is submitted, if the schedule has a jitter."`
	Next     []time.Time `json:"next,omitempty" doc:"When it is due the next few times."`
	LastAt   *time.Time  `json:"last_at,omitempty" doc:"The due time that was dealt with last."`
	LastTask string      `json:"last_task,omitempty" doc:"The task that was submitted last for a due time."`
	Skipped  int         `json:"skipped" doc:"How many due times were left out, since the task before was not finished."`
	Declared bool        `json:"declared,omitempty" doc:"It is declared in the configuration file, and can only be changed there."`
	Paused   bool        `json:"paused,omitempty" doc:"Nothing is submitted until it is resumed."`
	PausedAt *time.Time  `json:"paused_at,omitempty" doc:"Since when it is paused."`
	Finished bool        `json:"finished,omitempty" doc:"It is never due again."`
	History  []runView   `json:"history,omitempty" doc:"What became of the last 20 due times, and what run submitted among them, the oldest first."`
}

// runView is what became of a due time, as the API shows it.
type runView struct {
	DueAt   *time.Time `json:"due_at,omitempty" doc:"Missing if it was submitted by run, besides the due times."`
	At      time.Time  `json:"at" doc:"When its task was submitted, or left out."`
	Task    string     `json:"task,omitempty" doc:"The id of its task."`
	State   string     `json:"state,omitempty" enum:"pending,scheduled,running,retrying,succeeded,failed,cancelled,expired" doc:"Of its task; expired means that what it came to is not kept any more. Missing if there is no task, or the broker does not tell."`
	Skipped string     `json:"skipped,omitempty" enum:"overlap,missed,paused" doc:"Why there is none: the task before was not finished, nobody dealt with it in time, or the schedule was paused."`
}

func viewSchedule(e scheduler.Entry) scheduleView {
	return scheduleView{
		Name: e.Name, ScheduleFields: fieldsOf(e.Schedule),
		NextAt: present(e.NextAt), LastAt: present(e.LastAt), LastTask: e.LastTask, Skipped: e.Skipped,
		Declared: e.Declared, Paused: !e.PausedAt.IsZero(), PausedAt: present(e.PausedAt), Finished: e.Finished(),
	}
}

// showSchedule is all that there is to see of a schedule.
func (g *Gateway) showSchedule(ctx context.Context, status int, e scheduler.Entry) (*scheduleOutput, error) {
	out := &scheduleOutput{Status: status, ETag: etag(e.Version()), Body: viewSchedule(e)}
	out.Body.History = g.viewRuns(ctx, e)
	recurrence, err := scheduler.Parse(e.Schedule)
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %s", e.Name, err) // it was good when it was taken
	}
	if e.Jitter > 0 && !e.Finished() {
		out.Body.MomentAt = present(recurrence.Moment(e.NextAt))
	}
	for due, ok := e.NextAt, !e.Finished(); ok && len(out.Body.Next) < shownNext; {
		out.Body.Next = append(out.Body.Next, due)
		due, ok = recurrence.Upcoming(due, time.Now()) // what was missed is made up for once
	}
	return out, nil
}

// viewRuns shows what became of the last due times, and of their tasks.
func (g *Gateway) viewRuns(ctx context.Context, e scheduler.Entry) []runView {
	all := make([]runView, len(e.Runs))
	var looking sync.WaitGroup
	for i, r := range e.Runs {
		all[i] = runView{DueAt: present(r.Due), At: r.At, Task: e.TaskOf(r), Skipped: r.Skipped}
		if all[i].Task != "" {
			looking.Go(func() { all[i].State = g.stateOf(ctx, all[i].Task) })
		}
	}
	looking.Wait()
	return all
}

// expired is the state of a task that was submitted, and of which nothing is kept.
const expired = "expired"

// stateOf is the state of a task that was submitted, empty if it cannot be found out now.
func (g *Gateway) stateOf(ctx context.Context, id string) string {
	f, err := g.store.Lookup(ctx, id)
	switch {
	case err == nil:
		return string(f.Record.State)
	case errors.Is(err, millrace.ErrGone), errors.Is(err, millrace.ErrNotFound):
		return expired
	}
	return ""
}

type listSchedulesInput struct {
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	After string `query:"after" maxLength:"64" doc:"Where to go on: next_cursor of the page before."`
}

type listSchedulesOutput struct {
	Body struct {
		Schedules  []scheduleView `json:"schedules"`
		NextCursor string         `json:"next_cursor,omitempty" doc:"For the next page; missing on the last one."`
	}
}

func (g *Gateway) listSchedules(ctx context.Context, in *listSchedulesInput) (*listSchedulesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	if err := millrace.ValidateScheduleName(in.After); in.After != "" && err != nil {
		return nil, refusedFor("query.after", fmt.Errorf("%w: the cursor is not of this list", millrace.ErrInvalid))
	}
	entries, next, err := g.book.Page(ctx, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listSchedulesOutput{}
	out.Body.Schedules, out.Body.NextCursor = make([]scheduleView, len(entries)), next
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
	ETag     string `header:"ETag"`
	Body     scheduleView
}

// shownNext is how many due times are shown of a schedule.
const shownNext = 5

func (g *Gateway) getSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	e, err := g.book.Get(ctx, in.Name)
	if err != nil {
		return nil, scheduleMissing(in.Name, err)
	}
	return g.showSchedule(ctx, http.StatusOK, e)
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
	version, err := versionIn(in.IfMatch)
	if err != nil {
		return nil, refusedFor("header.If-Match", err)
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	if version != "" {
		e, err := g.book.Change(ctx, in.Name, version, func(millrace.Schedule) (millrace.Schedule, error) { return s, nil })
		if errors.Is(err, millrace.ErrNotFound) {
			err = fmt.Errorf("schedule %s: %w", in.Name, scheduler.ErrChanged) // it is gone
		}
		if err != nil {
			return nil, err
		}
		return g.showSchedule(ctx, http.StatusOK, e)
	}
	_, missing := g.book.Get(ctx, in.Name) // what is there and cannot be read, Put replaces
	e, err := g.book.Put(ctx, s)
	if err != nil {
		return nil, err
	}
	if errors.Is(missing, millrace.ErrNotFound) {
		return g.madeSchedule(ctx, e)
	}
	return g.showSchedule(ctx, http.StatusOK, e)
}

func (g *Gateway) madeSchedule(ctx context.Context, e scheduler.Entry) (*scheduleOutput, error) {
	out, err := g.showSchedule(ctx, http.StatusCreated, e)
	if err == nil {
		out.Location = "/v1/schedules/" + e.Name
	}
	return out, err
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
