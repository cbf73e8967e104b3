package millrace_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace"
)

func seconds(n float64) millrace.Duration { return millrace.Duration(n * float64(time.Second)) }

func TestBackoffWaits(t *testing.T) {
	const day = 24 * 60 * 60
	for _, c := range []struct {
		name    string
		backoff millrace.Backoff
		want    []float64 // seconds after attempt 1, 2, ...
	}{
		{"the default", millrace.DefaultBackoff(), []float64{30, 30, 30}},
		{"zero means at once", millrace.Backoff{}, []float64{0, 0}},
		{"no policy means fixed", millrace.Backoff{Delay: seconds(2)}, []float64{2, 2, 2}},
		{"fixed ignores max", millrace.Backoff{Policy: millrace.Fixed, Delay: seconds(9), Max: seconds(1)}, []float64{9, 9}},
		{"doubling", millrace.Backoff{Policy: millrace.Exponential, Delay: seconds(1)}, []float64{1, 2, 4, 8, 16, 32}},
		{"doubling to a limit", millrace.Backoff{Policy: millrace.Exponential, Delay: seconds(3), Max: seconds(10)}, []float64{3, 6, 10, 10}},
		{"a limit below the delay", millrace.Backoff{Policy: millrace.Exponential, Delay: seconds(5), Max: seconds(1)}, []float64{1, 1}},
		{"doubling to a day", millrace.Backoff{Policy: millrace.Exponential, Delay: seconds(12 * 60 * 60)}, []float64{day / 2, day, day, day}},
		{"doubling nothing", millrace.Backoff{Policy: millrace.Exponential}, []float64{0, 0, 0}},
		{"a list, its last for the rest", millrace.Backoff{Policy: millrace.List, Delays: []millrace.Duration{seconds(1), seconds(60), seconds(5)}}, []float64{1, 60, 5, 5, 5}},
		{"a list of one", millrace.Backoff{Policy: millrace.List, Delays: []millrace.Duration{0}}, []float64{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.backoff.Validate(); err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if got := c.backoff.Wait(i+1, 0.5); got != time.Duration(seconds(want)) {
					t.Errorf("after attempt %d: %s, want %gs", i+1, got, want)
				}
			}
			if got, want := c.backoff.Wait(-3, 0.5), c.backoff.Wait(1, 0.5); got != want {
				t.Errorf("after attempt -3: %s, want that of the first, %s", got, want)
			}
		})
	}
}

func TestBackoffJitter(t *testing.T) {
	b := millrace.Backoff{Policy: millrace.Fixed, Delay: seconds(10), Jitter: 0.2}
	for _, c := range []struct{ random, want float64 }{{0, 8}, {0.25, 9}, {0.5, 10}, {0.75, 11}, {0.999999, 12}} {
		if got := b.Wait(1, c.random).Seconds(); math.Abs(got-c.want) > 0.001 {
			t.Errorf("random %v: %vs, want %vs", c.random, got, c.want)
		}
	}
	longest := millrace.Backoff{Delay: millrace.MaxBackoff, Jitter: 1}
	if got := longest.Wait(1, 0.99); got != time.Duration(millrace.MaxBackoff) {
		t.Errorf("jitter on top of the longest wait: %s", got)
	}
}

func TestInvalidBackoffs(t *testing.T) {
	hundred := make([]millrace.Duration, 100)
	good := millrace.Backoff{Policy: millrace.List, Delays: hundred, Jitter: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for why, b := range map[string]millrace.Backoff{
		"an unknown policy":      {Policy: "linear"},
		"a policy in capitals":   {Policy: "Fixed"},
		"an empty list":          {Policy: millrace.List},
		"a long list":            {Policy: millrace.List, Delays: append(hundred, 0)},
		"a list for fixed":       {Policy: millrace.Fixed, Delays: hundred},
		"a list without policy":  {Delays: hundred},
		"a list for exponential": {Policy: millrace.Exponential, Delays: hundred},
		"a negative delay":       {Delay: -1},
		"a negative max":         {Policy: millrace.Exponential, Max: -1},
		"a negative list entry":  {Policy: millrace.List, Delays: []millrace.Duration{1, -1}},
		"a delay over a day":     {Delay: millrace.MaxBackoff + 1},
		"a max over a day":       {Policy: millrace.Exponential, Max: millrace.MaxBackoff + 1},
		"an entry over a day":    {Policy: millrace.List, Delays: []millrace.Duration{math.MaxInt64}},
		"a negative jitter":      {Jitter: -0.1},
		"a jitter over one":      {Jitter: 1.1},
		"a jitter that is NaN":   {Jitter: math.NaN()},
		"an infinite jitter":     {Jitter: math.Inf(1)},
	} {
		wantInvalid(t, why, b.Validate())
	}
}

// Whatever passes Validate waits between nothing and the longest wait, within
// its jitter of what it waits without.
func TestBackoffProperty(t *testing.T) {
	delays := rapid.Int64Range(0, int64(millrace.MaxBackoff))
	rapid.Check(t, func(t *rapid.T) {
		b := millrace.Backoff{
			Policy: rapid.SampledFrom([]string{"", millrace.Fixed, millrace.Exponential, millrace.List}).Draw(t, "policy"),
			Delay:  millrace.Duration(delays.Draw(t, "delay")),
			Max:    millrace.Duration(delays.Draw(t, "max")),
			Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		if b.Policy == millrace.List {
			for _, d := range rapid.SliceOfN(delays, 1, 100).Draw(t, "delays") {
				b.Delays = append(b.Delays, millrace.Duration(d))
			}
		}
		if err := b.Validate(); err != nil {
			t.Fatal(err)
		}
		attempt := rapid.Int().Draw(t, "attempt")
		random := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "random")
		got := b.Wait(attempt, random)
		if got < 0 || got > time.Duration(millrace.MaxBackoff) {
			t.Fatalf("waits %s", got)
		}
		still := b
		still.Jitter = 0
		middle := float64(still.Wait(attempt, random))
		// A nanosecond for cutting to whole ones.
		low, high := middle*(1-b.Jitter)-1, middle*(1+b.Jitter)+1
		if f := float64(got); f < low || f > high {
			t.Fatalf("waits %s, which is not within %v of %s", got, b.Jitter, time.Duration(middle))
		}
		if limit := time.Duration(b.Max); b.Policy == millrace.Exponential && limit > 0 && time.Duration(middle) > limit {
			t.Fatalf("waits %s without jitter, over its limit of %s", time.Duration(middle), limit)
		}
		if again := b.Wait(attempt, random); again != got {
			t.Fatalf("asking changed something: %s, then %s", got, again)
		}
	})
}
