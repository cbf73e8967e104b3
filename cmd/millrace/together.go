package main

import (
	"context"
	"errors"
	"sync"
)

// service runs until ctx ends, and stops in good order.
type service = func(ctx context.Context) error

// together runs services until ctx ends or one of them returns; then it stops the
// others, and returns what went wrong.
func together(ctx context.Context, services ...service) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(services))
	var running sync.WaitGroup
	for i, run := range services {
		running.Go(func() {
			defer stop()
			errs[i] = run(ctx)
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// stopped is err, unless that is only the service's way to say that it was told to
// stop while it still started.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// apart is a service that may end before the others: they go on.
func apart(run service) service {
	return func(ctx context.Context) error {
		err := run(ctx)
		if err == nil {
			<-ctx.Done()
		}
		return err
	}
}
