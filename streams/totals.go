package streams

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Totals is what this process has done since it started.
type Totals struct {
	Counts
	// Lag is from when a task or a schedule was due to when it was in its queue.
	Lag Histogram
	// Commits counts the writes to the broker by how many messages each had: the first are
	// those of one message, the next those of up to 2, of up to 4, and so on.
	Commits [commitSizes]int64
}

// commitSizes is enough for what the broker takes in one write.
const commitSizes = 11

// sizes counts writes by how large they are.
type sizes [commitSizes]atomic.Int64

func (s *sizes) count(n int) { s[min(bits.Len(uint(max(n, 1)-1)), commitSizes-1)].Add(1) }

// Totals returns what this process has done since it started. It only grows.
func (s *Store) Totals() Totals {
	s.told.Lock()
	defer s.told.Unlock()
	t := Totals{Counts: s.totals.clone(), Lag: s.tally.lag.look()}
	t.add(s.tally.look())
	for i := range t.Commits {
		t.Commits[i] = s.replies.commits[i].Load()
	}
	return t
}

// counted takes what was counted since it was called last. It stays in the totals.
func (s *Store) counted() Counts {
	s.told.Lock()
	defer s.told.Unlock()
	c := s.tally.take()
	s.totals.add(c)
	return c
}

func (c Counts) clone() Counts {
	c.Wait, c.Run = Histogram(nil).add(c.Wait), Histogram(nil).add(c.Run)
	return c
}

// look returns what was counted, and leaves it there.
func (t *tally) look() Counts {
	return Counts{
		Submitted: t.submitted.Load(), Succeeded: t.succeeded.Load(), Failed: t.failed.Load(),
		Cancelled: t.cancelled.Load(), Retried: t.retried.Load(), Lost: t.lost.Load(), Wait: t.wait.look(), Run: t.run.look(),
	}
}

func (c *counters) look() Histogram {
	h := Histogram{}
	for b := range c {
		if n := c[b].Load(); n > 0 {
			h[b] = n
		}
	}
	return h
}

// Cumulative returns, for bounds of powers of two from about a millisecond on, how many
// durations are shorter; how many there are; and what all of them come to, as far as the
// buckets tell: an eighth more or less.
func (h Histogram) Cumulative() (below map[time.Duration]uint64, count uint64, sum time.Duration) {
	below = map[time.Duration]uint64{}
	for octave := firstOctave + 4; octave <= lastOctave-2; octave += 2 {
		bound := time.Duration(1<<octave) * time.Microsecond
		for b, n := range h {
			if floorOf(b) < bound {
				below[bound] += uint64(n)
			}
		}
		below[bound] += 0
	}
	for b, n := range h {
		count += uint64(n)
		sum += time.Duration(n) * (floorOf(b) + floorOf(b+1)) / 2
	}
	return below, count, sum
}
