package streams

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// Durations are counted in buckets that grow by a quarter of a power of two: from 64 µs,
// below which all is one, to 3 days, above which all is one too. A quantile is off by an
// eighth at most.
const (
	firstOctave = 6
	lastOctave  = 37
	perOctave   = 4
	bucketCount = (lastOctave-firstOctave+1)*perOctave + 2
)

// bucketOf is the number of the bucket that a duration is counted in.
func bucketOf(d time.Duration) int {
	us := uint64(max(0, d.Microseconds()))
	octave := bits.Len64(us) - 1
	switch {
	case octave < firstOctave:
		return 0
	case octave > lastOctave:
		return bucketCount - 1
	}
	return 1 + (octave-firstOctave)*perOctave + int(us>>(octave-2)&3)
}

// floorOf is the shortest duration of a bucket.
func floorOf(bucket int) time.Duration {
	if bucket <= 0 {
		return 0
	}
	octave, quarter := (bucket-1)/perOctave+firstOctave, (bucket-1)%perOctave
	return time.Duration((perOctave+quarter)<<(octave-2)) * time.Microsecond
}

// Histogram says how many durations are in each of the buckets in which there are any.
type Histogram map[int]int64

// Count is how many durations there are.
func (h Histogram) Count() (n int64) {
	for _, in := range h {
		n += in
	}
	return n
}

// Quantile is the duration that a part q of all are not longer than, as 0.99; zero if
// there are none.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := q * float64(h.Count())
	if rank == 0 {
		return 0
	}
	buckets := make([]int, 0, len(h))
	for b := range h {
		buckets = append(buckets, b)
	}
	slices.Sort(buckets)
	last := buckets[len(buckets)-1]
	for _, b := range buckets {
		if in := float64(h[b]); rank > in && b != last {
			rank -= in
			continue
		}
		from := floorOf(b)
		if b >= bucketCount-1 {
			return from
		}
		return from + time.Duration(min(1, rank/float64(h[b]))*float64(floorOf(b+1)-from))
	}
	return 0
}

func (h Histogram) add(other Histogram) Histogram {
	if h == nil && len(other) > 0 {
		h = Histogram{}
	}
	for b, n := range other {
		if b >= 0 && b < bucketCount && n > 0 {
			h[b] += n
		}
	}
	return h
}

// counters count durations as they come.
type counters [bucketCount]atomic.Int64

func (c *counters) count(d time.Duration) { c[bucketOf(d)].Add(1) }

// take returns what was counted since it was called last.
func (c *counters) take() Histogram {
	var h Histogram
	for b := range c {
		if c[b].Load() == 0 {
			continue
		}
		if h == nil {
			h = Histogram{}
		}
		h[b] = c[b].Swap(0)
	}
	return h
}
