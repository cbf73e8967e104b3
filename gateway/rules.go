package gateway

import (
	"context"
	"time"

	"millrace"
	"millrace/orders"
	"millrace/scheduler"
)

// rule says which problem an error is. A client tells problems apart by their
// type, which the slug names, and shows people the title.
type rule struct {
	target     error // matched by errors.Is
	status     int
	slug       string
	title      string        // the same each time
	detail     string        // empty: the error's own text, which must be fit to be shown
	retryAfter time.Duration // zero: trying again is no use, or nobody knows when
}

// rules is the table of the errors that are no surprise; the first that matches
// counts. Add an error here, with a slug that then never changes.
func rules() []rule {
	return []rule{
		{target: millrace.ErrInvalid, status: 422, slug: "invalid", title: "Not valid"},
		{target: millrace.ErrNotFound, status: 404, slug: "not-found", title: "Not found"},
		{target: millrace.ErrGone, status: 410, slug: "gone", title: "No longer kept"},
		{target: errReplayed, status: 409, slug: "webhook-replayed", title: "Delivered before"},
		{target: orders.ErrChanged, status: 412, slug: "changed", title: "Changed meanwhile"},
		{target: scheduler.ErrChanged, status: 412, slug: "changed", title: "Changed meanwhile"},
		{target: millrace.ErrDeclared, status: 409, slug: "declared", title: "Declared in the configuration file"},
		{target: millrace.ErrConflict, status: 409, slug: "conflict", title: "Conflict"},
		{
			target: millrace.ErrQueueFull, status: 503, slug: "queue-full", title: "The queue is full",
			detail: "The queue has no room. Nothing was stored.", retryAfter: 5 * time.Second,
		},
		{target: millrace.ErrDraining, status: 503, slug: "draining", title: "The queue is being drained"},
		{target: millrace.ErrNoRoom, status: 507, slug: "no-room", title: "The broker has no room"},
		{
			target: millrace.ErrUnavailable, status: 503, slug: "unavailable", title: "The broker is not available",
			detail: "The broker does not answer.", retryAfter: 2 * time.Second,
		},
		{
			target: context.DeadlineExceeded, status: 504, slug: "timeout", title: "It took too long",
			detail: "The answer did not come in time. Ask again with the same id or key.",
		},
		{
			target: context.Canceled, status: 503, slug: "stopping", title: "The gateway is stopping",
			detail: "This gateway is stopping. Ask another, or the next one.", retryAfter: time.Second,
		},
	}
}

func (r rule) problem(err error) *problem {
	detail := r.detail
	if detail == "" {
		detail = clip(err.Error(), maxMessage)
	}
	p := newProblem(r.status, detail)
	p.Type, p.Title, p.retryAfter = problemType(r.slug), r.title, r.retryAfter
	return p
}

func problemType(slug string) string { return "urn:millrace:problem:" + slug }
