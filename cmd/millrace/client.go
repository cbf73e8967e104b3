package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// clientFlags are what every verb takes that talks to the API.
type clientFlags struct {
	Server string `help:"The API to talk to." default:"http://127.0.0.1:8080"`
	APIKey string `name:"api-key" help:"The key to use the API with, as millrace keys create gave it. Safer in the environment, as MILLRACE_API_KEY." placeholder:"mr_…"`
	JSON   bool   `name:"json" help:"Print one JSON object a line."`

	http http.Client
}

// keep lets that many requests be under way at once, each on a connection that
// stays open. Without it all but two would be closed after their request, and a
// long import would run out of ports.
func (f *clientFlags) keep(connections int) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, connections
	f.http.Transport = t
}

// problem is an error that the API answered with (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`

	retryAfter time.Duration
}

// Error is everything that is wrong, on one line.
func (p *problem) Error() string {
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

// askFirst is how large a body may be to be sent unasked. A server that finds one
// too large closes the connection, and its answer can be lost with it.
const askFirst = 64 << 10

// call sends one request and returns the body of a good answer; a bad one is a
// *problem.
func (f clientFlags) call(ctx context.Context, method, path string, body []byte, header http.Header) ([]byte, error) {
	base, err := url.Parse(f.Server)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("--server %s is no URL such as http://127.0.0.1:8080", f.Server)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(f.Server, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	f.sign(req)
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if len(body) > askFirst {
		req.Header.Set("Expect", "100-continue")
	}
	resp, err := f.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("nobody answers at %s: is millrace running there? (--server names another place): %w", f.Server, err)
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, readProblem(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return data, nil
}

// sign sends the key along, if there is one.
func (f clientFlags) sign(req *http.Request) {
	if f.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+f.APIKey)
	}
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 16 << 20

func readProblem(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", resp.Request.URL.Path, err)
	}
	return parseProblem(resp, data)
}

func parseProblem(resp *http.Response, data []byte) *problem {
	p := &problem{}
	if err := json.Unmarshal(data, p); err != nil || p.Status == 0 {
		p.Status, p.Title = resp.StatusCode, resp.Status
		p.Detail = "the server answers " + resp.Status + ", and not as Millrace does"
	}
	if seconds, err := time.ParseDuration(resp.Header.Get("Retry-After") + "s"); err == nil {
		p.retryAfter = seconds
	}
	return p
}

// show prints an answer: as it came with --json, else indented for people.
func (f clientFlags) show(w io.Writer, answer []byte) error {
	var out bytes.Buffer
	var err error
	if f.JSON {
		err = json.Compact(&out, answer)
	} else {
		err = json.Indent(&out, answer, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("the server's answer is not JSON: %w", err)
	}
	_, err = fmt.Fprintln(w, strings.TrimSpace(out.String()))
	return err
}
