package meter

import (
	"sync/atomic"
	"time"
)

// Histogram counts values by size.
type Histogram struct {
	per    float64
	bounds []int64
	counts []atomic.Uint64 // of what is at most the bound, and one for all that is more
	sum    atomic.Int64
}

// NewHistogram returns one with these bounds, which grow. Who reads it sees values divided by
// per.
func NewHistogram(per float64, bounds ...int64) *Histogram {
	return &Histogram{per: per, bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Times returns a histogram of durations, from 1 ms to an hour, to be read in seconds.
func Times() *Histogram {
	const ms, s, m = int64(time.Millisecond), int64(time.Second), int64(time.Minute)
	return NewHistogram(float64(s), ms, 5*ms, 10*ms, 25*ms, 50*ms, 100*ms, 250*ms, 500*ms, s, 5*s/2, 5*s, 10*s, 30*s, m, 5*m, 15*m, 60*m)
}

// Count counts a value. What is below zero is zero.
func (h *Histogram) Count(v int64) {
	v = max(0, v)
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(v)
}

// Time counts a duration, of a histogram of [Times].
func (h *Histogram) Time(d time.Duration) { h.Count(int64(d)) }

// Reading is what a histogram has counted.
type Reading struct {
	Count uint64
	Sum   float64
	// AtMost says how many values were not above a bound.
	AtMost map[float64]uint64
}

// Read returns what was counted until now.
func (h *Histogram) Read() Reading {
	r := Reading{Sum: float64(h.sum.Load()) / h.per, AtMost: make(map[float64]uint64, len(h.bounds))}
	for i := range h.counts {
		r.Count += h.counts[i].Load()
		if i < len(h.bounds) {
			r.AtMost[float64(h.bounds[i])/h.per] = r.Count
		}
	}
	return r
}
