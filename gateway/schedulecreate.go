package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"millrace"
	"millrace/scheduler"
)

type createdScheduleOutput struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Replayed string `header:"Idempotent-Replayed" doc:"\"true\" if the Idempotency-Key was used before, and this is the first answer again."`
	Body     scheduleView
}

// createdSchedule is the answer, as it is kept under its key.
type createdSchedule struct {
	ETag string       `json:"etag"`
	View scheduleView `json:"view"`
}

func (g *Gateway) createSchedule(ctx context.Context, in *createScheduleInput) (*createdScheduleOutput, error) {
	s, violations := in.Body.schedule(in.Body.Name)
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
	made, replayed, err := once(ctx, g.claims, "schedule", in.Key, in.RawBody, func(ctx context.Context, id string, _ bool) (createdSchedule, error) {
		s := s
		if s.Name == "" {
			s.Name = id
		}
		e, err := g.book.Create(ctx, s, id)
		if err != nil {
			return createdSchedule{}, err
		}
		out, err := g.madeSchedule(ctx, e)
		if err != nil {
			return createdSchedule{}, err
		}
		return createdSchedule{out.ETag, out.Body}, nil
	})
	if err != nil {
		return nil, err
	}
	return &createdScheduleOutput{Location: "/v1/schedules/" + made.View.Name, ETag: made.ETag, Replayed: replayedHeader(replayed), Body: made.View}, nil
}

func (g *Gateway) pauseSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	return g.turnSchedule(ctx, in.Name, g.book.Pause)
}

func (g *Gateway) resumeSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	return g.turnSchedule(ctx, in.Name, g.book.Resume)
}

func (g *Gateway) turnSchedule(ctx context.Context, name string, turn func(context.Context, string) (scheduler.Entry, error)) (*scheduleOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	e, err := turn(ctx, name)
	if err != nil {
		return nil, scheduleMissing(name, err)
	}
	return g.showSchedule(ctx, http.StatusOK, e)
}
