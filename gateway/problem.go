package gateway

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"millrace"
	"millrace/orders"
	"millrace/streams"
)

// problem is every error that the API answers with: RFC 9457 problem details,
// in huma's shape, so that the OpenAPI description is right. A handler may
// return one; any other error becomes one by [problemOf].
type problem struct {
	huma.ErrorModel
	State      string        `json:"state,omitempty"` // of the task or the order, if that is why it is not possible
	Count      *uint64       `json:"count,omitempty"` // how many there are, if that is not what was confirmed
	header     http.Header   // more headers of the response
	retryAfter time.Duration // zero: no Retry-After
	cause      error         // why it is unexpected; logged, and never shown
}

// newProblem returns a problem without a type of its own: the status says it
// all. The detail is a sentence for whoever sent the request.
func newProblem(status int, detail string) *problem {
	return &problem{ErrorModel: huma.ErrorModel{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail,
	}}
}

// Unwrap gives what was unexpected, for the log.
func (p *problem) Unwrap() error { return p.cause }

// GetHeaders is where huma and [problem.write] find the headers.
func (p *problem) GetHeaders() http.Header {
	if p.retryAfter <= 0 {
		return p.header
	}
	h := p.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	return h
}

// problemOf returns what to answer for err. What no rule knows is status 500
// without a word of its text, and has a cause for the log.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*fiber.Error](err); ok {
		return serverProblem(e.Code, err)
	}
	if e, ok := errors.AsType[*huma.ErrorModel](err); ok && e.Status < http.StatusInternalServerError {
		p := newProblem(e.Status, e.Detail)
		p.Errors = e.Errors
		return p
	}
	if violations, ok := errors.AsType[orders.Violations](err); ok {
		return refusedOrder(violations)
	}
	if taken, ok := errors.AsType[*millrace.TakenError](err); ok {
		return takenKey(taken, err)
	}
	if wrong, ok := errors.AsType[*orders.TransitionError](err); ok {
		return wrongState(err, wrong.State)
	}
	if count, ok := errors.AsType[*streams.CountError](err); ok {
		return wrongCount(count)
	}
	for _, r := range rules() {
		if errors.Is(err, r.target) {
			return r.problem(err)
		}
	}
	return unexpected(err)
}

func wrongCount(e *streams.CountError) *problem {
	detail := fmt.Sprintf("Nothing was removed. The %s: %d. Confirmed: %d.", e.What, e.Have, e.Confirmed)
	if e.Have > 0 {
		detail += fmt.Sprintf(" To remove them, confirm %d.", e.Have)
	}
	p := newProblem(http.StatusConflict, detail)
	p.Type, p.Title, p.Count = problemType("count-differs"), "Another count", &e.Have
	return p
}

func unexpected(cause error) *problem {
	id := "urn:uuid:" + millrace.NewID()
	p := newProblem(http.StatusInternalServerError, "Something went wrong on our side. The log has it under "+id+".")
	p.Instance, p.cause = id, cause
	return p
}

// serverProblem is for what Fiber and fasthttp refuse. Their texts are not
// shown: they quote the request and tell of the inside.
func serverProblem(status int, cause error) *problem {
	details := map[int]string{
		http.StatusBadRequest:                  "The request is not well-formed HTTP.",
		http.StatusNotFound:                    "There is nothing at this path. The API is described at /docs.",
		http.StatusMethodNotAllowed:            "This path does not take that method. The Allow header has those it takes.",
		http.StatusRequestTimeout:              "The request did not arrive in time.",
		http.StatusRequestHeaderFieldsTooLarge: "The URL and the headers are larger than this server takes.",
	}
	if status == http.StatusBadGateway { // Fiber's word for a connection that broke
		status = http.StatusBadRequest
	}
	if detail, known := details[status]; known {
		return newProblem(status, detail)
	}
	if status < http.StatusInternalServerError {
		return newProblem(status, http.StatusText(status)+".")
	}
	return unexpected(cause)
}
