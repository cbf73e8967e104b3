package millrace

import (
	"math"
	"time"
)

// The policies of a [Backoff].
const (
	Fixed       = "fixed"       // the same delay every time
	Exponential = "exponential" // the delay doubles with every attempt
	List        = "list"        // one delay after another, the last one for the rest
)

// Backoff says how long to wait between attempts.
type Backoff struct {
	// Policy is [Fixed], [Exponential] or [List]. Empty means Fixed.
	Policy string `json:"policy"`
	// Delay is the wait after the first attempt, for Fixed and Exponential.
	// Zero means at once.
	Delay Duration `json:"delay,omitzero"`
	// Max caps an exponential delay. Zero means [MaxBackoff].
	Max Duration `json:"max,omitzero"`
	// Delays are the waits of a List.
	Delays []Duration `json:"delays,omitempty"`
	// Jitter spreads a wait evenly over ±this share of it, 0 to 1, so that
	// tasks which failed together do not come back together. It never makes
	// the wait longer than [MaxBackoff].
	Jitter float64 `json:"jitter,omitzero"`
}

// MaxBackoff is the longest wait between two attempts.
const MaxBackoff = Duration(24 * time.Hour)

// DefaultBackoff waits 30 s each time.
func DefaultBackoff() Backoff {
	return Backoff{Policy: Fixed, Delay: Duration(30 * time.Second)}
}

// Validate says what is wrong with b, or nil.
func (b Backoff) Validate() error {
	switch b.Policy {
	case "", Fixed, Exponential:
		if len(b.Delays) > 0 {
			return invalid("backoff.delays goes with the policy %q", List)
		}
	case List:
		if len(b.Delays) == 0 || len(b.Delays) > 100 {
			return invalid("backoff.delays must hold 1 to 100 delays, not %d", len(b.Delays))
		}
	default:
		return invalid("backoff.policy must be %q, %q or %q", Fixed, Exponential, List)
	}
	for _, d := range append([]Duration{b.Delay, b.Max}, b.Delays...) {
		if d < 0 || d > MaxBackoff {
			return invalid("a backoff delay must be 0s to %s, not %s", MaxBackoff, d)
		}
	}
	if b.Jitter < 0 || b.Jitter > 1 || math.IsNaN(b.Jitter) {
		return invalid("backoff.jitter must be 0 to 1, not %v", b.Jitter)
	}
	return nil
}

// Wait returns how long to wait after the given attempt, counted from 1.
// random is a number in [0, 1) and decides the jitter. Asking changes nothing.
func (b Backoff) Wait(attempt int, random float64) time.Duration {
	attempt = max(attempt, 1)
	d := b.Delay
	switch b.Policy {
	case Exponential:
		limit := b.Max
		if limit == 0 {
			limit = MaxBackoff
		}
		// Beyond 62 doublings every delay of a nanosecond or more is over any limit.
		d = Duration(min(float64(limit), math.Ldexp(float64(d), min(attempt-1, 62))))
	case List:
		d = b.Delays[min(attempt, len(b.Delays))-1]
	}
	spread := 1 + b.Jitter*(2*random-1)
	return time.Duration(min(float64(MaxBackoff), float64(d)*spread))
}
