package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// readyCmd is for health checks where there is no other program to ask with, as in a
// container that has nothing but this one.
type readyCmd struct {
	clientFlags
	For time.Duration `help:"How long to wait for an answer." default:"3s"`
}

// Run asks /readyz once.
func (c *readyCmd) Run(ctx context.Context, io stdio) error {
	ctx, cancel := context.WithTimeout(ctx, c.For)
	defer cancel()
	if _, err := c.call(ctx, http.MethodGet, "/readyz", nil, nil); err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	fmt.Fprintln(io.out, "ready")
	return nil
}
