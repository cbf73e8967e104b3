package broker

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
)

// Bubble runs do on virtual time, from that time on, which should not be before now.
// The server compares the age of messages with a clock that is one per process: it
// must not start inside, and what is older to it than now has expired. (In the year
// 2000, in which bubbles begin, everything has.)
func Bubble(t *testing.T, from time.Time, do func(t *testing.T)) {
	t.Helper()
	ats.Register()
	defer ats.Unregister()
	emptyPools()
	defer emptyPools() // also if it fails
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(from))
		do(t)
	})
}

// emptyPools makes sure that no timer crosses a bubble's border: the NATS client
// keeps used ones in a pool, and a pool forgets in two collections what it holds.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}
