// Package client gives work to Millrace from another program, over its HTTP API: it
// submits tasks, waits for what comes of them, calls them off, writes schedules down and
// places orders. It needs Go's standard library and the words of package millrace, and
// nothing of the broker.
//
// What is asked for is named before it is first asked for: a submission by an
// Idempotency-Key, an order by its id. So every call is repeated, safely, when the answer
// does not come: while a gateway restarts, or is too busy. An error is what was left when
// that was of no use.
//
// Errors are for errors.Is with those of package millrace, such as
// [millrace.ErrNotFound]; what the gateway said of them is in a [Problem].
//
// Start reading at [New], [Client.Submit] and [Result]. Whoever carries tasks out has
// package processor.
package client

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config is how a client asks. The zero value is a sensible one.
type Config struct {
	// Patience is for how long a call goes on asking when nobody answers, or the answer
	// is that now is not the time. Zero means a minute; less than zero asks once. The
	// call's context bounds it too.
	Patience time.Duration
	// Parallel is how many of the tasks that have an IdempotencyKey [Client.SubmitMany] has
	// under way at once. Zero means 16.
	Parallel int
	// Key is the key of the API, "mr_" and so on. Empty means that there is none.
	Key string
	// Header is sent with each request. An Authorization of its own goes before the Key.
	Header http.Header
	// HTTP sends the requests. Nil means a client of its own, which has no time limit:
	// a limit must be above 45 s, for those who wait.
	HTTP *http.Client
}

func (c Config) withDefaults() Config {
	c.Patience = cmp.Or(c.Patience, time.Minute)
	c.Parallel = cmp.Or(c.Parallel, 16)
	if c.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		// The default keeps two connections, and opens one more for each request besides.
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, max(c.Parallel, 16)
		c.HTTP = &http.Client{Transport: t}
	}
	return c
}

// Client talks to the API. It is safe for many goroutines, and one a program is enough.
type Client struct {
	cfg  Config
	base string
}

// New returns a client of the API at a URL, as in http://127.0.0.1:8080. It does not
// ask it anything yet.
func New(baseURL string, cfg Config) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("client: %q is no URL such as http://127.0.0.1:8080", baseURL)
	}
	if cfg.Parallel < 0 {
		return nil, errors.New("client: the number of tasks under way must not be negative")
	}
	return &Client{cfg: cfg.withDefaults(), base: strings.TrimSuffix(baseURL, "/")}, nil
}

// Close closes the connections that nobody uses just now. The client can be used again.
func (c *Client) Close() { c.cfg.HTTP.CloseIdleConnections() }
