package processor

import (
	"slices"
	"time"
)

// A task of a batch kind gets a place in its turn, like any other. Then its batch
// collects: it takes along those of its kind that are ready in its lane, and for as
// long as [Batch.Wait] those that come. What it lacks counts as room, so that the
// lane asks for it.
//
// A suspect runs alone, so that it takes no others with it.
type collecting struct {
	jobs  []*job
	timer *time.Timer
}

// collect starts the batch of a job that has got a place, or lets it wait for more.
func (d *dispatcher) collect(first *job) {
	l, kind, size := first.lane, first.Task.Kind, first.batch.Size
	jobs := append(make([]*job, 0, size), first)
	l.ready = slices.DeleteFunc(l.ready, func(j *job) bool {
		if len(jobs) == size || j.Task.Kind != kind {
			return false
		}
		jobs = append(jobs, j)
		l.served++
		return true
	})
	if len(jobs) == size {
		d.start(jobs)
		return
	}
	c := &collecting{jobs: jobs}
	c.timer = time.AfterFunc(first.batch.Wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ship(l, c)
	})
	l.open[kind] = c
	l.nudge()
}

// join adds a job that has just come to the batch of its kind that collects. It
// returns false if there is none.
func (d *dispatcher) join(j *job) bool {
	c := j.lane.open[j.Task.Kind]
	if c == nil {
		return false
	}
	c.jobs = append(c.jobs, j)
	j.lane.served++
	if len(c.jobs) == j.batch.Size {
		d.ship(j.lane, c)
	}
	return true
}

// ship starts a batch that collects, unless that has happened.
func (d *dispatcher) ship(l *lane, c *collecting) {
	if kind := c.jobs[0].Task.Kind; l.open[kind] == c {
		c.timer.Stop()
		delete(l.open, kind)
		d.start(c.jobs)
	}
}

// lacking is how many tasks the lane's batches wait for.
func (l *lane) lacking() int {
	n := 0
	for _, c := range l.open {
		n += c.jobs[0].batch.Size - len(c.jobs)
	}
	return n
}

// disperse gives up the lane's batches that have not started, and returns what they
// have.
func (l *lane) disperse() (out []*job) {
	for _, c := range l.open {
		c.timer.Stop()
		out = append(out, c.jobs...)
	}
	clear(l.open)
	return out
}
