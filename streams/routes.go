package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"millrace"
)

// Routes returns the routes that hold now, and whether they were set by [Store.SetRoutes]:
// those replace the ones of the configuration, until [Store.ClearRoutes].
func (s *Store) Routes() (routes []millrace.Route, set bool) {
	if set := s.control.Get().Routes; set != nil {
		return *set, true
	}
	return s.lanes.Load().routes, false
}

// Route returns the queue that tasks of a kind go to when they name none.
func (s *Store) Route(kind string) string {
	routes, _ := s.Routes()
	return millrace.RouteTo(routes, kind)
}

// SetRoutes replaces the routes, for all processes, whatever their configurations say.
// No routes mean that everything goes to the default queue. It returns
// [millrace.ErrInvalid], and changes nothing, if a route leads to a queue that is not
// there.
func (s *Store) SetRoutes(ctx context.Context, routes []millrace.Route) error {
	if err := s.checkRoutes(routes); err != nil {
		return err
	}
	routes = append([]millrace.Route{}, routes...)
	_, err := s.control.Update(ctx, func(set *Settings) error {
		set.Routes = &routes
		// A process that does not have the queue in its configuration is led there as well.
		for _, r := range routes {
			set.ChangeQueue(r.Queue, func(q *QueueSettings) { q.Added = true })
		}
		return nil
	})
	return err
}

// ClearRoutes lets each process go by the routes of its configuration again.
func (s *Store) ClearRoutes(ctx context.Context) error {
	_, err := s.control.Update(ctx, func(set *Settings) error {
		set.Routes = nil
		return nil
	})
	return err
}

// Reconfigure takes over the queues, the routes and the limits of a configuration that has
// changed.
// Queues that are new are added, as by [Store.AddQueue], with the share that shares
// has; one that is missing stays. Routes and limits hold for this process, unless
// others were set by [Store.SetRoutes] or [Store.SetLimits].
func (s *Store) Reconfigure(ctx context.Context, queues []string, shares map[string]QueueSettings, routes []millrace.Route, limits []millrace.Limit) error {
	next := s.cfg
	next.Queues, next.Routes = append(slices.Clone(s.Queues()), missing(s.Queues(), queues)...), routes
	next.Limits = limits
	if err := next.validate(); err != nil {
		return fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
	}
	for _, q := range missing(s.Queues(), queues) {
		if _, err := s.AddQueue(ctx, q, shares[q]); err != nil {
			return err
		}
	}
	s.knowing.Lock()
	defer s.knowing.Unlock()
	known := *s.lanes.Load()
	known.routes = slices.Clone(routes)
	s.lanes.Store(&known)
	limits = slices.Clone(limits)
	s.limits.configured.Store(&limits)
	return s.SweepHeld(ctx)
}

// missing are those of some queues that are not known.
func missing(known, queues []string) []string {
	return slices.DeleteFunc(slices.Clone(queues), func(q string) bool { return slices.Contains(known, q) })
}

func (s *Store) checkRoutes(routes []millrace.Route) error {
	var errs []error
	for _, r := range routes {
		if err := r.Validate(); err != nil {
			errs = append(errs, err)
		} else if err := s.CheckQueue(r.Queue); err != nil {
			errs = append(errs, err)
		}
	}
	if everything := millrace.RouteTo(routes, "*"); len(errs) == 0 {
		if err := s.CheckQueue(everything); err != nil {
			errs = append(errs, fmt.Errorf("%w; that is where tasks go that no route matches", err))
		}
	}
	return errors.Join(errs...)
}
