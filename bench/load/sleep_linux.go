package load

import (
	"syscall"
	"time"
)

// sleepUntil blocks the thread, precise to some 50 µs.
func sleepUntil(at time.Time) {
	for left := time.Until(at); left > 0; left = time.Until(at) {
		ts := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&ts, nil) // whatever woke us, the loop looks again
	}
}
