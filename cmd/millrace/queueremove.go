package main

import (
	"context"
	"net/http"
)

type queueRemoveCmd struct{ queueArg }

// Run removes the queue; there is nothing to say then.
func (c *queueRemoveCmd) Run(ctx context.Context, _ stdio) error {
	_, err := c.call(ctx, http.MethodDelete, c.path(""), nil, nil)
	return err
}
