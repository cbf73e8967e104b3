package streams

import (
	"context"
	"fmt"
	"slices"
	"time"

	"millrace"
)

// Series is what was done over some time, in steps.
type Series struct {
	From time.Time
	Step time.Duration
	// Points are all steps, also those in which nothing was done.
	Points []Point
}

// Point is what was done in a step by all processes, and how the queues were: the most
// that waited, and that ran, in its minutes.
type Point struct {
	At time.Time
	Counts
	Depths
	// Known says that somebody looked at the queues in that step, so that a process ran.
	Known bool
}

func newSeries(from time.Time, step time.Duration, steps int) *Series {
	s := &Series{From: from.UTC(), Step: step, Points: make([]Point, steps)}
	for i := range s.Points {
		s.Points[i].At = s.From.Add(time.Duration(i) * step)
	}
	return s
}

// add adds a point to the step that it is in.
func (s *Series) add(p point) {
	i := int(p.At.Sub(s.From) / s.Step)
	if p.At.Before(s.From) || i >= len(s.Points) {
		return
	}
	at := &s.Points[i]
	at.Counts.add(p.Counts)
	at.Known = at.Known || len(p.Queues) > 0
	at.most(p.Depths)
}

// most takes over what is more than what is known.
func (d *Depths) most(other Depths) {
	d.Workers, d.Busy, d.Places, d.Dead = max(d.Workers, other.Workers), max(d.Busy, other.Busy), max(d.Places, other.Places), max(d.Dead, other.Dead)
	for _, o := range other.Queues {
		i := slices.IndexFunc(d.Queues, func(q Depth) bool { return q.Queue == o.Queue })
		if i < 0 {
			d.Queues = append(d.Queues, o)
			continue
		}
		q := &d.Queues[i]
		q.Pending, q.InFlight, q.Oldest = max(q.Pending, o.Pending), max(q.InFlight, o.InFlight), max(q.Oldest, o.Oldest)
		q.Entered, q.Workers = max(q.Entered, o.Entered), max(q.Workers, o.Workers)
	}
}

// Sum is all of it in one point.
func (s *Series) Sum() Point {
	sum := Point{At: s.From}
	for _, p := range s.Points {
		sum.Counts.add(p.Counts)
		sum.most(p.Depths)
		sum.Known = sum.Known || p.Known
	}
	return sum
}

// MaxPoints is how many steps one look at the history has at most.
const MaxPoints = 1500

// History returns what was done from the step in which from is until the one in which to
// is, without that. A step is of whole minutes, and of the last 25 hours there are
// minutes; or it is of whole hours, of which there are 90 days.
func (s *Store) History(ctx context.Context, from, to time.Time, step time.Duration) (*Series, error) {
	from, to = from.Truncate(step), to.Truncate(step)
	steps := int(to.Sub(from) / max(step, 1))
	if step < time.Minute || step%time.Minute != 0 || step > time.Hour && step%time.Hour != 0 || steps < 1 || steps > MaxPoints {
		return nil, fmt.Errorf("%w: history from %s to %s in steps of %s: a step is of whole minutes, or of whole hours if it is longer than one, and there may be %d",
			millrace.ErrInvalid, from.Format(time.RFC3339), to.Format(time.RFC3339), step, MaxPoints)
	}
	series := newSeries(from, step, steps)
	if step < time.Hour {
		return series, s.readMinutes(ctx, series)
	}
	if err := s.readPoints(ctx, series, historyPrefix+"hour.*"); err != nil {
		return nil, err
	}
	// The last hours have no sum yet.
	since := time.Now().Add(-lateMinutes).Truncate(time.Hour).UTC()
	recent := newSeries(since, time.Minute, 2*60)
	if err := s.readMinutes(ctx, recent); err != nil {
		return nil, err
	}
	for _, p := range recent.Points {
		series.add(point{At: p.At, Counts: p.Counts, Depths: p.Depths})
	}
	return series, nil
}

// readMinutes adds up what the processes wrote of each minute.
func (s *Store) readMinutes(ctx context.Context, series *Series) error {
	if err := s.readPoints(ctx, series, historyPrefix+"minute.*.*"); err != nil {
		return err
	}
	return s.readPoints(ctx, series, historyPrefix+"queues.*")
}

// readPoints adds up what matches a filter. A point is written after its time.
func (s *Store) readPoints(ctx context.Context, series *Series, filter string) error {
	ask := directGet{NextBy: filter, Batch: maxBatch, MaxBytes: maxLooked, StartTime: &series.From}
	for {
		page, end, err := s.getDirect(ctx, historyStream, maxBatch, ask)
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		for _, st := range page {
			var p point
			if decode(st.data, &p) == nil { // else somebody wrote it by hand
				series.add(p)
			}
		}
		if left := end.Get("Nats-Num-Pending"); left == "" || left == "0" || len(page) == 0 {
			return nil
		}
		ask.StartTime, ask.Seq = nil, page[len(page)-1].seq+1
	}
}
