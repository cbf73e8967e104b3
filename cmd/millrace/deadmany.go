package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

type deadRedriveCmd struct {
	clientFlags
	chosenFlags
	Args  string `help:"A JSON value for the handler, instead of the task's own; for one task."`
	Limit count  `help:"How many of those that match at most." default:"1000000"`
	Rate  count  `help:"How many of those that match a second at most, up to 1000." default:"100"`
}

// Run redrives one task after another, and goes on after one that cannot be; or all
// that match.
func (c *deadRedriveCmd) Run(ctx context.Context, io stdio) error {
	filter, err := c.chosen()
	if err != nil {
		return err
	}
	var body []byte
	if c.Args != "" {
		if len(c.IDs) != 1 {
			return errors.New("--args is for one task: name it by its id")
		}
		if !json.Valid([]byte(c.Args)) {
			return fmt.Errorf("args is not JSON: %s", c.Args)
		}
		if body, err = json.Marshal(map[string]any{"args": json.RawMessage(c.Args)}); err != nil {
			return fmt.Errorf("args: %w", err)
		}
	}
	if filter != nil {
		return c.redriveAll(ctx, io, filter)
	}
	var errs []error
	for _, id := range c.IDs {
		answer, err := c.call(ctx, http.MethodPost, deadPath(id)+"/redrive", body, nil)
		if err == nil {
			err = c.show(io.out, answer)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// redriven is what came of redriving many.
type redriven struct {
	Redriven int               `json:"redriven"`
	Refused  []json.RawMessage `json:"refused,omitempty"`
	Next     string            `json:"next_cursor,omitempty"`
	Stopped  string            `json:"stopped,omitempty"`
}

// perRedrive is how many one request redrives: no more than the server has the time for.
func perRedrive(rate count) int { return min(int(rate)*10, 1000) }

// redriveAll asks for one part after another until nothing is left.
func (c *deadRedriveCmd) redriveAll(ctx context.Context, io stdio, body map[string]any) (err error) {
	var sum redriven
	body["rate"] = c.Rate
	for left := int(c.Limit); left > 0; {
		body["limit"] = min(left, perRedrive(c.Rate))
		var data, answer []byte
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("redrive: %w", err)
		}
		if answer, err = c.call(ctx, http.MethodPost, "/v1/dead/redrive", data, nil); err != nil {
			break
		}
		var part redriven
		if err = json.Unmarshal(answer, &part); err != nil {
			return fmt.Errorf("the server's answer does not say what was redriven: %w", err)
		}
		left -= part.Redriven
		sum.Redriven += part.Redriven
		sum.Refused = append(sum.Refused, part.Refused...)
		if sum.Next = part.Next; part.Stopped != "" {
			err = fmt.Errorf("broken off: %s", part.Stopped)
			break
		}
		if part.Next == "" {
			break
		}
		body["after"] = part.Next
	}
	if err != nil && sum.Redriven == 0 {
		return err
	}
	data, wrong := json.Marshal(sum)
	if wrong == nil {
		wrong = c.show(io.out, data)
	}
	if err == nil && len(sum.Refused) > 0 {
		err = errReported
	}
	return errors.Join(wrong, err)
}

type deadDiscardCmd struct {
	clientFlags
	chosenFlags
	Confirm *int `help:"How many match: it is refused otherwise, and says how many do."`
}

// Run removes one task after another, and goes on after one that cannot be; or all that
// match.
func (c *deadDiscardCmd) Run(ctx context.Context, io stdio) error {
	body, err := c.chosen()
	if err != nil {
		return err
	}
	if body == nil {
		var errs []error
		for _, id := range c.IDs {
			_, err := c.call(ctx, http.MethodDelete, deadPath(id), nil, nil)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	if body["confirm"] = 0; c.Confirm != nil {
		body["confirm"] = *c.Confirm
	}
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	answer, err := c.call(ctx, http.MethodPost, "/v1/dead/discard", data, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}
