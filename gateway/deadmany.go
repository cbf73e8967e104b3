package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
	"millrace/streams"
)

// DeadFilter says which dead tasks are meant: those that match all of it. Its name is
// exported for the encoder, which fills in no other embedded type.
type DeadFilter struct {
	Queue string     `json:"queue,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Kind  string     `json:"kind,omitempty" minLength:"1" maxLength:"100" pattern:"^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$"`
	Error string     `json:"error,omitempty" minLength:"1" maxLength:"200" doc:"A part of the error's text, whatever the case."`
	Since *time.Time `json:"since,omitempty" doc:"Only those that died then or later."`
	Until *time.Time `json:"until,omitempty" doc:"Only those that died before."`
	All   bool       `json:"all,omitempty" doc:"All there are. Needed if nothing else says which."`
}

// violations refuses a filter that is empty, unless it says that this is meant.
func (f *DeadFilter) violations() []error {
	narrow := f.Queue != "" || f.Kind != "" || f.Error != "" || f.Since != nil || f.Until != nil
	switch {
	case !narrow && !f.All:
		return []error{&huma.ErrorDetail{Location: "body.all", Message: "must be true, if neither queue, kind, error, since nor until says which are meant"}}
	case narrow && f.All:
		return []error{&huma.ErrorDetail{Location: "body.all", Message: "all, and only those of a queue, kind, error or time, exclude each other"}}
	}
	return nil
}

func (f *DeadFilter) query() streams.DeadQuery {
	q := streams.DeadQuery{Queue: f.Queue, Kind: f.Kind, Error: f.Error}
	if f.Since != nil {
		q.Since = *f.Since
	}
	if f.Until != nil {
		q.Until = *f.Until
	}
	return q
}

type redriveAllInput struct {
	Body redriveAllBody
}

type redriveAllBody struct {
	DeadFilter
	Limit int    `json:"limit,omitempty" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
	Rate  int    `json:"rate,omitempty" minimum:"1" maximum:"1000" default:"100" doc:"How many a second at most."`
	After string `json:"after,omitempty" maxLength:"100" doc:"Where to go on: next_cursor of the answer before, with all else as it was."`
}

// Resolve finds what the schema cannot: huma reports it together with the rest.
func (b *redriveAllBody) Resolve(huma.Context) []error { return b.violations() }

type redriveAllOutput struct {
	Body struct {
		Redriven      int              `json:"redriven" doc:"How many are back in their queues."`
		Refused       []refusedRedrive `json:"refused,omitempty" doc:"Those that cannot be redriven as they are, and stay."`
		NextCursor    string           `json:"next_cursor,omitempty" doc:"Where to go on; missing if nothing is left."`
		SearchedUntil *time.Time       `json:"searched_until,omitempty" doc:"When the last one died that was looked at."`
		Stopped       string           `json:"stopped,omitempty" doc:"Why it was broken off, after some of them."`
	}
}

type refusedRedrive struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// redriveTime is how long one request redrives.
const redriveTime = 20 * time.Second

func (g *Gateway) redriveAllDead(ctx context.Context, in *redriveAllInput) (*redriveAllOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, redriveTime)
	defer cancel()
	q := in.Body.query()
	q.Limit, q.Cursor = in.Body.Limit, in.Body.After
	done, err := g.store.RedriveAll(ctx, q, in.Body.Rate)
	out := &redriveAllOutput{}
	out.Body.Redriven, out.Body.NextCursor, out.Body.SearchedUntil = done.Tasks, done.Next, present(done.SearchedUntil)
	for _, r := range done.Refused {
		out.Body.Refused = append(out.Body.Refused, refusedRedrive{r.ID, clip(r.Why.Error(), maxMessage)})
	}
	switch {
	case err == nil, errors.Is(err, context.DeadlineExceeded) && done.Tasks > 0:
		return out, nil
	case errors.Is(err, millrace.ErrInvalid):
		return nil, refusedFor("body.after", err)
	case done.Tasks == 0:
		return nil, err
	}
	out.Body.Stopped = problemOf(err).Detail
	return out, nil
}

type discardAllInput struct {
	Body discardAllBody
}

type discardAllBody struct {
	DeadFilter
	Confirm int `json:"confirm" minimum:"0" doc:"How many these are."`
}

// Resolve finds what the schema cannot: huma reports it together with the rest.
func (b *discardAllBody) Resolve(huma.Context) []error { return b.violations() }

type discardAllOutput struct {
	Body struct {
		Discarded int `json:"discarded"`
	}
}

// discardTime is how long it may take to remove as many as can be discarded at once.
const discardTime = time.Minute

func (g *Gateway) discardAllDead(ctx context.Context, in *discardAllInput) (*discardAllOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, discardTime)
	defer cancel()
	n, err := g.store.DiscardAll(ctx, in.Body.query(), in.Body.Confirm)
	if err != nil {
		return nil, err
	}
	out := &discardAllOutput{}
	out.Body.Discarded = n
	return out, nil
}

var (
	_ huma.Resolver = (*redriveAllBody)(nil)
	_ huma.Resolver = (*discardAllBody)(nil)
)
