package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"millrace"
)

type limitCmd struct {
	clientFlags
	Limits []string `arg:"" optional:"" name:"limit" help:"All limits from now on, as in kind:mail.*=5, kind:mail.send=100/s, key:customer:*=10/m or queue:bulk=20: the first that matches a name counts. None: look at those in force."`
	None   bool     `help:"Lift all limits."`
	Clear  bool     `help:"Let each process go by its configuration again."`
}

// Run replaces the limits, or shows them.
func (c *limitCmd) Run(ctx context.Context, io stdio) error {
	method, body := http.MethodGet, []byte(nil)
	switch {
	case c.Clear && c.None, (c.Clear || c.None) && len(c.Limits) > 0:
		return errors.New("limits, --none and --clear exclude each other")
	case c.Clear:
		method = http.MethodDelete
	case c.None, len(c.Limits) > 0:
		limits := make([]millrace.Limit, len(c.Limits))
		for i, spec := range c.Limits {
			var err error
			if limits[i], err = millrace.ParseLimit(spec); err != nil {
				return err
			}
		}
		var err error
		if body, err = json.Marshal(map[string]any{"limits": limits}); err != nil {
			return fmt.Errorf("limits: %w", err)
		}
		method = http.MethodPut
	}
	answer, err := c.call(ctx, method, "/v1/limits", body, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}
