package streams

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"millrace"
)

// limits are those in force, and who is at letting tasks past which of them.
type limits struct {
	inForce atomic.Pointer[[]millrace.Limit]

	mu    sync.Mutex
	gates map[string]*gate // by limit
	// last is the last place of each line that this process has let past, as far as it
	// remembers. To let one past twice does no harm.
	last map[string]uint64
}

func newLimits(all []millrace.Limit) *limits {
	l := &limits{gates: map[string]*gate{}, last: map[string]uint64{}}
	l.inForce.Store(&all)
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

// SetLimits puts limits in force, here: every process must know the same. What waits
// for one that is wider now goes on with [Store.SweepHeld].
func (s *Store) SetLimits(all []millrace.Limit) {
	all = slices.Clone(all)
	s.limits.inForce.Store(&all)
}

// Limits are those in force.
func (s *Store) Limits() []millrace.Limit { return *s.limits.inForce.Load() }

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
	l, _ := millrace.LimitOf(s.Limits(), scope, name)
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
