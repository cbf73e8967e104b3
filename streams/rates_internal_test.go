package streams

import (
	"testing"
	"time"

	"millrace"
)

// What has come by a slow rate does not keep others away once the rate is raised, and
// what waits for a slow one hears of that soon.
func TestRaisedRate(t *testing.T) {
	now := time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC)
	slow, fast := millrace.Rate{Count: 1, Per: 24 * time.Hour}, millrace.Rate{Count: 100, Per: time.Second}
	for _, step := range []rateStep{takeTurns, begin} {
		var times rateTimes
		if wait := step.give(&times, slow, now); wait != 0 {
			t.Fatal("the first one waits", wait)
		}
		if wait := step.give(&times, slow, now.Add(time.Minute)); wait <= maxReserved || wait > maxUnreserved {
			t.Errorf("%q: the second one asks again after %s", step.name, wait)
		}
		if wait := step.give(&times, fast, now.Add(2*time.Minute)); wait > maxReserved+rateClocks {
			t.Errorf("%q: after the rate was raised the next one waits %s", step.name, wait)
		}
	}
}

// As long as a rate stays as it is, no more begin than it lets.
func TestSteadyRate(t *testing.T) {
	for _, rate := range []millrace.Rate{{Count: 1, Per: time.Hour}, {Count: 1, Per: 10 * time.Second}, {Count: 100, Per: time.Minute}, {Count: 50, Per: time.Second}} {
		for _, step := range []rateStep{takeTurns, begin} {
			var times rateTimes
			now := time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC)
			begun, end := 0, now.Add(2*time.Hour)
			for start := now; now.Before(end); now = now.Add(rate.Interval() / 3) {
				if step.give(&times, rate, now) == 0 {
					begun++
				}
				if most := float64(now.Sub(start)+2*time.Second)/float64(rate.Interval()) + 1; float64(begun) > most {
					t.Fatalf("%q: %d have begun in %s of %v", step.name, begun, now.Sub(start), rate)
				}
				if begun > 10_000 {
					break
				}
			}
		}
	}
}
