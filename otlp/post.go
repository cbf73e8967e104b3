package otlp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// busyError is for a collector that may take the same request later.
type busyError struct {
	err   error
	after time.Duration // how long it asks to wait, zero if it does not say
}

func (e *busyError) Error() string { return e.err.Error() }

func (e *busyError) Unwrap() error { return e.err }

// refusal is what a collector did not take of a request that it took.
type refusal struct {
	spans   int64
	message string
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// post sends a request once. An error is a [busyError] if it may be sent again: nobody
// answers, or it is one of the four statuses of which the protocol says so.
func (e *Exporter) post(ctx context.Context, body []byte) (refusal, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return refusal{}, fmt.Errorf("export spans: %w", err)
	}
	for name, value := range e.cfg.Headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Millrace/"+e.cfg.Version)
	response, err := e.client.Do(request)
	if err != nil {
		return refusal{}, &busyError{err: fmt.Errorf("export spans: %w", err)}
	}
	defer func() { _ = response.Body.Close() }() // it was read, as far as that matters
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case response.StatusCode/100 == 2 && err == nil:
		return partly(answer), nil
	case response.StatusCode/100 == 2:
		return refusal{}, nil // it took them, and what it said besides is lost
	}
	err = fmt.Errorf("export spans: %s answers %s %s", e.where(), response.Status, said(answer))
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return refusal{}, &busyError{err, retryAfter(response.Header.Get("Retry-After"), time.Now())}
	}
	return refusal{}, err
}

// partly reads what a collector did not take. One that says nothing took all.
func partly(answer []byte) refusal {
	var a struct {
		PartialSuccess struct {
			RejectedSpans json.RawMessage `json:"rejectedSpans"` // "1", or 1
			ErrorMessage  string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return refusal{}
	}
	n, err := strconv.ParseInt(strings.Trim(string(a.PartialSuccess.RejectedSpans), `"`), 10, 64)
	if err != nil {
		n = 0
	}
	return refusal{n, a.PartialSuccess.ErrorMessage}
}

// said is the message in the answer to a request that failed, which has a Status, or its
// beginning.
func said(answer []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &status) // then there is no message
	text := strings.ToValidUTF8(cmp.Or(status.Message, string(answer)), "")
	return strconv.Quote(text[:min(len(text), 200)])
}

// retryAfter is how long a collector asks to wait: seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
