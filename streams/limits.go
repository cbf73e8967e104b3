package streams

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"millrace"
)

// limits are those of the configuration, and who is at letting tasks past which.
type limits struct {
	configured atomic.Pointer[[]millrace.Limit]

	mu    sync.Mutex
	gates map[string]*gate // by limit
	// last is the last place of each line that this process has let past, as far as it
	// remembers. To let one past twice does no harm.
	last map[string]uint64
}

func newLimits(all []millrace.Limit) *limits {
	l := &limits{gates: map[string]*gate{}, last: map[string]uint64{}}
	l.configured.Store(&all)
	return l
}

// maxLines is how many lines are remembered.
const maxLines = 50_000

func (l *limits) passed(limit string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[limit]
}

func (l *limits) setPassed(limit string, last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) >= maxLines {
		clear(l.last)
	}
	l.last[limit] = last
}

func (l *limits) forget(lines map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for limit := range lines {
		delete(l.last, limit)
	}
}

// Limits returns the limits in force, and whether they were set by [Store.SetLimits]:
// those replace the ones of the configuration, until [Store.ClearLimits].
func (s *Store) Limits() (limits []millrace.Limit, set bool) {
	if set := s.control.Get().Limits; set != nil {
		return *set, true
	}
	return *s.limits.configured.Load(), false
}

// SetLimits replaces the limits, for all processes, whatever their configurations say.
// It returns [millrace.ErrInvalid], and changes nothing, if one is wrong. What waited
// for a limit that is wider now goes on; what runs goes on in any case.
func (s *Store) SetLimits(ctx context.Context, limits []millrace.Limit) error {
	var errs []error
	for _, l := range limits {
		errs = append(errs, l.Validate())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	limits = append([]millrace.Limit{}, limits...)
	return s.changeLimits(ctx, &limits)
}

// ClearLimits lets each process go by the limits of its configuration again.
func (s *Store) ClearLimits(ctx context.Context) error { return s.changeLimits(ctx, nil) }

func (s *Store) changeLimits(ctx context.Context, limits *[]millrace.Limit) error {
	_, err := s.control.Update(ctx, func(set *Settings) error {
		set.Limits = limits
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.SweepHeld(ctx); err != nil {
		s.log.Warn("tasks that wait for limits that have changed go on when the lines are looked at again", "error", err)
	}
	return nil
}

// limitName is what a limit is called that counts the tasks of one queue, kind or key:
// one token of a subject.
func limitName(scope millrace.LimitScope, name string) string {
	if scope == millrace.LimitKind {
		name = kindToken(name)
	}
	return string(scope) + "-" + millrace.EncodeToken(name)
}

// most is how many tasks may be past a limit at once, zero for any number.
func (s *Store) most(limit string) int {
	scope, token, _ := strings.Cut(limit, "-")
	name, _ := millrace.DecodeToken(token)
	if scope == string(millrace.LimitKind) {
		name = strings.ReplaceAll(name, "-", ".")
	}
	return s.concurrency(millrace.LimitScope(scope), name)
}

func (s *Store) concurrency(scope millrace.LimitScope, name string) int {
	all, _ := s.Limits()
	l, _ := millrace.LimitOf(all, scope, name)
	if scope == millrace.LimitKey {
		return max(l.Concurrency, 1)
	}
	return l.Concurrency
}

// nextLimit is the first limit that a task has to come past, and has not, empty if
// there is none: first that of its key, then its kind's, then its queue's.
func (s *Store) nextLimit(t millrace.RawTask) string {
	for _, scope := range millrace.LimitScopes() {
		name := nameOf(t, scope)
		if name == "" || s.concurrency(scope, name) == 0 {
			continue
		}
		if limit := limitName(scope, name); !slices.ContainsFunc(t.Passes, func(p millrace.Pass) bool { return p.Limit == limit }) {
			return limit
		}
	}
	return ""
}

// nameOf is what a limit of that scope goes by.
func nameOf(t millrace.RawTask, scope millrace.LimitScope) string {
	switch scope {
	case millrace.LimitKey:
		return t.Key
	case millrace.LimitKind:
		return t.Kind
	default:
		return t.Queue
	}
}

// gate is where tasks come past a limit. One goroutine of a process at a time lets them,
// on behalf of all that want it to happen.
type gate struct {
	users  int
	wanted atomic.Uint64
	mu     sync.Mutex
	done   uint64 // the last of those that wanted it, and for whom it was
}

// do calls f, unless somebody does who has begun after it was asked for.
func (l *limits) do(limit string, f func() error) error {
	g := l.enter(limit)
	defer l.leave(limit, g)
	mine := g.wanted.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done >= mine {
		return nil
	}
	all := g.wanted.Load()
	err := f()
	if err == nil {
		g.done = all
	}
	return err
}

func (l *limits) enter(limit string) *gate {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.gates[limit]
	if g == nil {
		g = &gate{}
		l.gates[limit] = g
	}
	g.users++
	return g
}

func (l *limits) leave(limit string, g *gate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.users--; g.users == 0 {
		delete(l.gates, limit)
	}
}
