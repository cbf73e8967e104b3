package millracetest

import (
	"strings"
	"sync"
	"testing"
)

// Beside is for a test that uses the NATS client without [Run], as in streams.Open, and
// may be parallel to tests that call Run: it waits until none of those is under way, and
// lets none begin before the test has ended. Any number of tests may be beside each other.
// Call it first, so that what the test leaves behind is gone by then.
func Beside(t testing.TB) {
	t.Helper()
	t.Cleanup(bubbles.enter(t, false))
}

// bubbles lets one Run be at a time, and none while there is a test beside: the NATS
// client keeps used timers for whoever is next, and one that comes from a bubble, or into
// it, panics wherever it is met.
var bubbles = &turnstile{holders: map[string]int{}}

// turnstile is a lock that knows who has it, so that who would wait for itself is told.
type turnstile struct {
	sync.RWMutex

	mu      sync.Mutex
	holders map[string]int // names of tests
}

// enter waits for its turn, and returns what ends it.
func (s *turnstile) enter(t testing.TB, alone bool) (leave func()) {
	t.Helper()
	name := t.Name()
	s.mu.Lock()
	for holder := range s.holders {
		if name == holder || strings.HasPrefix(name, holder+"/") {
			s.mu.Unlock()
			t.Fatalf("millracetest: %s has called Run or Beside and has not ended: it would wait for itself. Call one of them, once, in the innermost test.", holder)
		}
	}
	s.mu.Unlock()
	lock, unlock := s.RLock, s.RUnlock
	if alone {
		lock, unlock = s.Lock, s.Unlock
	}
	lock()
	s.hold(name, 1)
	return func() {
		s.hold(name, -1)
		unlock()
	}
}

func (s *turnstile) hold(name string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders[name] += n; s.holders[name] == 0 {
		delete(s.holders, name)
	}
}
