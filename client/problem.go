package client

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"millrace"
)

// Problem is an answer of the gateway that is an error (RFC 9457). It is found by
// errors.As, and errors.Is knows it as one of:
//
//   - [millrace.ErrInvalid]: see Errors for what is wrong where
//   - [millrace.ErrNotFound]
//   - [millrace.ErrGone]
//   - [millrace.ErrConflict]: also what is too late, see State, and an Idempotency-Key that
//     was used for something else
//   - [millrace.ErrQueueFull]: nothing was stored
//   - [millrace.ErrUnavailable]: the broker or the gateway cannot answer just now
type Problem struct {
	// Type tells problems apart: "urn:millrace:problem:" and a word, which never
	// changes, or "about:blank" where Status says it all.
	Type string `json:"type"`
	// Title is the type in words, Detail what is the matter this time.
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Status int    `json:"status"`
	// Instance names the request: what the gateway's log has it under, if that is to be
	// looked up.
	Instance string `json:"instance"`
	// State is the task's or the order's, if that is why it is not possible.
	State string `json:"state"`
	// Location is the path of the task that has the unique key, if that is why.
	Location string `json:"-"`
	// Errors are what is wrong with what was sent.
	Errors []Violation `json:"errors"`
	// RetryAfter is when to ask again; zero if that is of no use, or nobody knows.
	RetryAfter time.Duration `json:"-"`
}

// Violation is one thing that is wrong with what was sent.
type Violation struct {
	Message string `json:"message"`
	// Location is where, as in "body.backoff.delay".
	Location string `json:"location"`
}

// Error is everything that is wrong, on one line.
func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	parts := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		parts[i] = e.Message
		// The part of the request does not matter, since none was written by hand.
		if _, where, _ := strings.Cut(e.Location, "."); where != "" {
			parts[i] = where + ": " + e.Message
		}
	}
	return strings.Join(parts, "; ")
}

// Temporary reports whether the same request may be answered otherwise in a while. A
// client has asked again already, for as long as its patience lasts.
func (p *Problem) Temporary() bool {
	return p.RetryAfter > 0 || p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError
}

// Unwrap is the error of package millrace that it is.
func (p *Problem) Unwrap() error {
	switch strings.TrimPrefix(p.Type, "urn:millrace:problem:") {
	case "not-found":
		return millrace.ErrNotFound
	case "gone":
		return millrace.ErrGone
	case "queue-full":
		return millrace.ErrQueueFull
	case "key-reused":
		return millrace.ErrConflict
	}
	switch p.Status {
	case http.StatusConflict, http.StatusPreconditionFailed:
		return millrace.ErrConflict
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return millrace.ErrInvalid
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return millrace.ErrUnavailable
	}
	return nil
}

func readProblem(resp *http.Response, data []byte) *Problem {
	p := &Problem{}
	if err := json.Unmarshal(data, p); err != nil || p.Status == 0 {
		p = &Problem{
			Type: "about:blank", Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode,
			Detail: "the server answers " + resp.Status + ", and not as Millrace does",
		}
	}
	p.Location = resp.Header.Get("Location")
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}
