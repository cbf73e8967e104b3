package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"millrace"
)

// request is one that may be sent again: it says the same each time, and the gateway
// does it once.
type request struct {
	method, path string
	body         []byte
	media        string        // what the body is; empty for JSON
	key          string        // the Idempotency-Key; empty for none
	wait         time.Duration // that the gateway is asked to take
	again        bool          // it was sent before, and what came of it is not known
}

// How requests are repeated.
const (
	firstPause   = 100 * time.Millisecond // doubles from try to try
	longestPause = 5 * time.Second
	// tryTime is how long an answer may take, above what it was asked to take.
	tryTime = 20 * time.Second
	// askFirst is how large a body may be to be sent unasked: a server that finds one
	// too large closes the connection, and its answer can be lost with it.
	askFirst = 64 << 10
	// maxAnswer is how much of an answer is read.
	maxAnswer = 64 << 20
)

// call sends a request until it is answered for good, decodes the body of a good answer
// into answer unless that is nil, and returns the headers. A bad answer is a [*Problem].
func (c *Client) call(ctx context.Context, r request, answer any) (http.Header, error) {
	header, data, err := c.insist(ctx, &r)
	if err == nil && answer != nil {
		err = json.Unmarshal(data, answer)
	}
	if err != nil {
		return header, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return header, nil
}

// insist sends a request until it is answered for good, or patience or ctx end.
func (c *Client) insist(ctx context.Context, r *request) (http.Header, []byte, error) {
	begun := time.Now()
	var before error // what the try before came to
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		header, data, err := c.try(ctx, r)
		p, answered := errors.AsType[*Problem](err)
		if err == nil || answered && !p.Temporary() {
			return header, data, err
		}
		if ctx.Err() != nil {
			return nil, nil, ended(ctx, before)
		}
		wait := time.Duration((0.5 + rand.Float64()) * float64(pause)) // so that not all come at once
		if answered {
			wait = max(wait, p.RetryAfter)
		}
		if time.Since(begun)+wait > c.cfg.Patience {
			return nil, nil, err
		}
		before, r.again = err, true
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, ended(ctx, before)
		}
	}
}

// ended says that the caller's time is over, and what there was before.
func ended(ctx context.Context, before error) error {
	if before == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w; before that: %w", context.Cause(ctx), before)
}

// try sends a request once.
func (c *Client) try(ctx context.Context, r *request) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime+r.wait)
	defer cancel()
	req, err := c.spell(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, nil, &silence{c.base, err}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, &silence{c.base, err}
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, nil, readProblem(resp, data)
	}
	return resp.Header, data, nil
}

// spell makes what is sent of a request.
func (c *Client) spell(ctx context.Context, r *request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if c.cfg.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Key)
	}
	for name, values := range c.cfg.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", cmp.Or(r.media, "application/json"))
	}
	if len(r.body) > askFirst {
		req.Header.Set("Expect", "100-continue")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	return req, nil
}

// silence says that there was no answer, or not all of it.
type silence struct {
	base string
	err  error
}

func (s *silence) Error() string { return fmt.Sprintf("no answer from %s: %v", s.base, s.err) }

func (s *silence) Unwrap() []error { return []error{millrace.ErrUnavailable, s.err} }
