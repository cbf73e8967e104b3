package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// client talks to the API as any program would, without our types for what it
// sends.
type client struct {
	base string
	http *http.Client
}

// newClient returns a client of the gateway at that address.
func newClient(t *testing.T, address string) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{base: "http://" + address, http: &http.Client{Transport: transport, Timeout: patience}}
}

// reply is an answer of the API, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.status, r.body) }

// send sends a request. Headers are pairs of name and value.
func (c *client) send(ctx context.Context, method, path, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, data}, err
}

// post must get an answer.
func (c *client) post(t *testing.T, path, body string, headers ...string) reply {
	t.Helper()
	r, err := c.send(t.Context(), http.MethodPost, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get must get an answer.
func (c *client) get(t *testing.T, path string) reply {
	t.Helper()
	r, err := c.send(t.Context(), http.MethodGet, path, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// submit submits a task, which must be accepted, and returns its id.
func (c *client) submit(t *testing.T, body string, headers ...string) string {
	t.Helper()
	r := c.post(t, "/v1/tasks", body, headers...)
	if r.status != http.StatusAccepted {
		t.Fatalf("submit %s: %s", body, r)
	}
	return decode[struct{ ID string }](t, r.body).ID
}

// shownTask is what the tests look at in a task.
type shownTask struct {
	ID       string
	Kind     string
	State    string
	Attempts []struct{ Error string }
	Result   json.RawMessage
	Error    string
	Lost     int
}

// finished waits until a task is finished.
func (c *client) finished(ctx context.Context, id string) (task shownTask, err error) {
	err = poll(func() error {
		r, err := c.send(ctx, http.MethodGet, "/v1/tasks/"+id+"?wait=10s", "")
		if err == nil && r.status == http.StatusOK {
			err = json.Unmarshal(r.body, &task)
		}
		if err != nil || r.status != http.StatusOK {
			return fmt.Errorf("task %s: %s, %w", id, r, err)
		}
		if !slices.Contains([]string{"succeeded", "failed", "cancelled"}, task.State) {
			return fmt.Errorf("task %s is not finished: %s", id, r)
		}
		return nil
	})
	return task, err
}

// shownOrder is what the tests look at in an order.
type shownOrder struct {
	ID         string
	Reference  string
	State      string
	TotalMinor int64 `json:"total_minor"`
	History    []struct{ State string }
}

// decided waits until a worker has been at an order.
func (c *client) decided(ctx context.Context, id string) (order shownOrder, err error) {
	err = poll(func() error {
		r, err := c.send(ctx, http.MethodGet, "/v1/orders/"+id, "")
		if err == nil && r.status == http.StatusOK {
			err = json.Unmarshal(r.body, &order)
		}
		if err != nil || r.status != http.StatusOK {
			return fmt.Errorf("order %s: %s, %w", id, r, err)
		}
		if order.State == "placed" {
			return fmt.Errorf("no worker has come to order %s", id)
		}
		return nil
	})
	return order, err
}

// wantProblem fails the test unless r is a problem with that status (RFC 9457).
func wantProblem(t *testing.T, r reply, status int) {
	t.Helper()
	if err := checkProblem(r); err != nil || r.status != status {
		t.Errorf("got %s, want a problem with status %d: %v", r, status, err)
	}
}

func checkProblem(r reply) error {
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if media := r.header.Get("Content-Type"); media != "application/problem+json" {
		return fmt.Errorf("Content-Type is %q", media)
	}
	if err := json.Unmarshal(r.body, &p); err != nil {
		return err
	}
	if p.Type == "" || p.Title == "" || p.Detail == "" || p.Status != r.status {
		return fmt.Errorf("not all is told: %+v", p)
	}
	return nil
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

// poll tries until what returns nil, and gives up with what it returned last.
func poll(what func() error) error {
	deadline := time.After(2 * patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := what()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("given up: %w", err)
		}
	}
}

func eventually(t *testing.T, what func() error) {
	t.Helper()
	if err := poll(what); err != nil {
		t.Fatal(err)
	}
}

// inParallel calls do with 0 to n-1, several at a time.
func inParallel(several, n int, do func(i int)) {
	numbers := make(chan int)
	var working sync.WaitGroup
	for range several {
		working.Go(func() {
			for i := range numbers {
				do(i)
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	working.Wait()
}
