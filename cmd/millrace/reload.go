package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"millrace/streams"
)

// reloading returns a service that takes over the queues, the routes and the
// limits of the configuration each time that the process is sent SIGHUP. From now on that does not
// end it.
func (i invocation) reloading(store *streams.Store, log *slog.Logger) service {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return func(ctx context.Context) error {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-signals:
			}
			if err := i.reload(ctx, store); err != nil {
				log.Error("the configuration is not taken over; what was before goes on", "error", err)
				continue
			}
			routes, set := store.Routes()
			log.Info("took the configuration over", "queues", store.Queues(), "routes", routes, "set_over_the_api", set)
		}
	}
}

func (i invocation) reload(ctx context.Context, store *streams.Store) error {
	parsed, err := i.parse()
	if err != nil {
		return err
	}
	flags, ok := parsed.Selected().Target.Addr().Interface().(interface{ lanes() queueFlags })
	if !ok {
		return errors.New("this command has no queues") // not one of those that call this
	}
	names, shares, err := flags.lanes().queues()
	if err != nil {
		return err
	}
	routes, err := flags.lanes().routes()
	if err != nil {
		return err
	}
	limits, err := flags.lanes().limits()
	if err != nil {
		return err
	}
	added := map[string]streams.QueueSettings{}
	for _, q := range shares {
		added[q.Name] = streams.QueueSettings{Weight: q.Weight, Strict: q.Strict}
	}
	return store.Reconfigure(ctx, names, added, routes, limits)
}

// lanes are the flags themselves, whichever command they are of.
func (f queueFlags) lanes() queueFlags { return f }
