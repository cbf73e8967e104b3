package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type orderWatchCmd struct {
	clientFlags
	ID    string `arg:"" optional:"" help:"The order's id: all that happened to it, and what does from now on. Without, what happens to any order."`
	After string `help:"The id of the last event that was seen: goes on behind it. 0 is the beginning." placeholder:"EVENT"`
}

// watchedEvent is what a line shows of an event.
type watchedEvent struct {
	OrderID       string `json:"order_id"`
	State, Reason string
	At            time.Time
}

// watchAgain is how long to wait before the stream is opened again.
const watchAgain = time.Second

// Run prints events until it is stopped. When the stream breaks it is opened again, and
// goes on behind the last event that was printed.
func (c *orderWatchCmd) Run(ctx context.Context, io stdio) error {
	last := c.After
	if _, err := strconv.ParseUint(last, 10, 64); last != "" && err != nil {
		return fmt.Errorf("--after %s is no event's id: it is a number, as --json prints it with each event; 0 is the beginning", shown(last, 40))
	}
	for opened := false; ; {
		err := c.watch(ctx, io, &last, &opened)
		if ctx.Err() != nil {
			return nil // Ctrl-C is how one stops watching
		}
		var refused *problem
		if errors.As(err, &refused) && refused.Status < 500 || !opened {
			return err
		}
		fmt.Fprintf(io.err, "millrace: the stream broke, opening it again: %v\n", err)
		pause := watchAgain
		if refused != nil {
			pause = max(pause, refused.retryAfter)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *orderWatchCmd) watch(ctx context.Context, io stdio, last *string, opened *bool) error {
	path := "/v1/orders/events"
	if c.ID != "" {
		path = orderPath(c.ID) + "/events"
	}
	resp, err := c.open(ctx, path, *last)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	*opened = true
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	var id, data string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "id":
			id = value
		case field == "data":
			data += value
		case lines.Text() == "":
			if data != "" {
				if err := c.print(io, id, data); err != nil {
					return err
				}
			}
			// Only now: of an event that breaks off nothing was seen.
			*last, data = cmp.Or(id, *last), ""
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the server ended it")
}

// open asks for a stream.
func (c *orderWatchCmd) open(ctx context.Context, path, last string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Server, "/")+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("--server %s is no URL such as http://127.0.0.1:8080", c.Server)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	c.sign(req)
	resp, err := c.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("nobody answers at %s: is millrace running there? (--server names another place): %w", c.Server, err)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readProblem(resp)
}

// print prints an event. With --json its id comes first, which the stream has beside it.
func (c *orderWatchCmd) print(io stdio, id, data string) error {
	var e watchedEvent
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return fmt.Errorf("what came is no event: %w", err)
	}
	if c.JSON {
		return c.show(io.out, fmt.Appendf(nil, `{"id":%q,%s`, id, strings.TrimPrefix(data, "{")))
	}
	_, err := fmt.Fprintln(io.out, strings.TrimRight(fmt.Sprintf("%s  %-16s  %-36s  %s", shownTime(&e.At), e.State, e.OrderID, shown(e.Reason, 100)), " "))
	return err
}
