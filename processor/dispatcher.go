package processor

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millrace"
	"millrace/streams"
)

// The dispatcher decides which task gets the next free handler. Each lane (a
// queue of this worker's) has tasks ready in the order they came. Strict lanes go
// first; the others take turns by smooth weighted round robin, so that of lanes
// with weights 6, 3 and 1 the heaviest is never served six times in a row while
// the lightest waits.
//
// How many tasks a lane may have ready beyond the free handlers depends on how
// fast it is served: as many as it got through in prefetchTime, one at least while
// any handler comes free within a second, and none while none does: a task that
// waits here could be running elsewhere.
//
// So with slow handlers the lanes have nothing ready, nor asked for, when one comes
// free at last. Then the choice waits until each lane has had an answer, for answerTime
// at most, or else whichever answers first would be served, strict or not.
const (
	prefetchTime   = 50 * time.Millisecond
	maxPrefetch    = 1024
	rateWindow     = 100 * time.Millisecond
	turnoverWindow = time.Second
	answerTime     = 5 * time.Millisecond
	// A task of which suspectAfter deliveries died runs only while no other such
	// task does, or has for suspectHold, so that the one that kills its worker
	// does not use up the deliveries of those that happened to run beside it.
	suspectAfter = 2
	suspectHold  = 5 * time.Second
)

// job is a delivery with what is known of it when it is ready.
type job struct {
	*streams.Delivery
	lane   *lane
	batch  Batch
	lost   int
	marked bool
	// deliveries is how often the task was handed to a worker, as far as is known.
	deliveries int
	// decided is set by whoever decides what becomes of the task: its worker once
	// the handler has returned, or a stop that does not wait for that.
	decided atomic.Bool
	// said is what the handler last said of its progress, nil for nothing.
	said atomic.Pointer[millrace.Progress]
	// writing is held by whoever writes about the task: its worker, who renews its
	// lease, or who notes its progress. When its outcome is written it is closed, and
	// none of the others may write any more.
	writing sync.Mutex
	closed  bool
}

type lane struct {
	Queue
	ready []*job
	// open are the batches that collect, by kind.
	open map[string]*collecting
	// turn is the lane's credit in the round robin.
	turn int
	// served counts what was started since windowStart; rate is what it was in
	// the window before, per second.
	served      int
	windowStart time.Time
	rate        float64
	// wake tells the lane's feeder that there is room again. It is parked while it
	// waits for that: whether the queue has tasks is not known.
	wake   chan struct{}
	parked bool
	shut   bool // its queue is paused
	ended  bool // its queue is not there any more
	end    func()
	own    bool // its share is of the worker's own configuration
	// asking lasts while the lane may ask for tasks; feeding is its parent.
	feeding, asking context.Context
	withdraw        context.CancelFunc
}

type dispatcher struct {
	start    func([]*job)
	handBack func([]*job) // those that were ready in a lane that is shut

	mu        sync.Mutex
	lanes     []*lane
	suspects  []*job
	suspect   *job // the one that holds the others back
	size      int  // handlers in all
	free      int  // below zero while more run than there are to be
	lastFreed time.Time
	choosing  bool // the free handler waits for the lanes' answers
	quiet     bool // no lane takes anything
	closed    bool
}

func newDispatcher(cfg Config, start func([]*job)) *dispatcher {
	d := &dispatcher{start: start, size: cfg.Concurrency, free: cfg.Concurrency}
	for _, q := range cfg.Queues {
		d.lanes = append(d.lanes, newLane(q))
	}
	return d
}

func newLane(q Queue) *lane {
	return &lane{Queue: q, open: map[string]*collecting{}, wake: make(chan struct{}, 1), windowStart: time.Now()}
}

// room is how many more tasks the lane may ask for.
func (d *dispatcher) room(l *lane) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isShut(l) {
		return 0
	}
	now := time.Now()
	l.roll(now)
	prefetch := 0
	if now.Sub(d.lastFreed) < turnoverWindow {
		prefetch = min(max(1, int(l.rate*prefetchTime.Seconds())), maxPrefetch)
	}
	return d.free + prefetch + l.lacking() - len(l.ready)
}

// roll begins a new window of the rate when the last one is over.
func (l *lane) roll(now time.Time) {
	if passed := now.Sub(l.windowStart); passed >= rateWindow {
		l.rate = float64(l.served) / passed.Seconds()
		l.served, l.windowStart = 0, now
	}
}

// offer makes jobs of a lane ready, and starts what there are handlers for. It
// returns those that came too late.
func (d *dispatcher) offer(l *lane, jobs []*job) (refused []*job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.isShut(l) {
		return jobs
	}
	l.parked = false
	for _, j := range jobs {
		switch {
		case j.lost >= suspectAfter:
			d.suspects = append(d.suspects, j)
		case !d.join(j):
			l.ready = append(l.ready, j)
		}
	}
	d.choosing = d.choosing && d.anyUnasked()
	d.dispatch()
	return nil
}

// freed gives a handler back, from those that it was given for.
func (d *dispatcher) freed(jobs []*job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.free == 0 && len(d.lanes) > 1 && d.anyUnasked() {
		d.choosing = true
		time.AfterFunc(answerTime, d.choose)
	}
	d.free++
	d.lastFreed = time.Now()
	if d.suspect == jobs[0] {
		d.suspect = nil
	}
	d.dispatch()
	for _, l := range d.lanes {
		l.nudge()
	}
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// park notes that the lane's feeder has asked for nothing and waits to be woken.
func (d *dispatcher) park(l *lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.parked = true
}

// anyUnasked reports whether there is a lane of which it is not known whether its
// queue has tasks.
func (d *dispatcher) anyUnasked() bool {
	return slices.ContainsFunc(d.lanes, func(l *lane) bool { return l.parked && len(l.ready) == 0 && !d.isShut(l) })
}

// choose ends the wait for answers. The lanes that have not answered have nothing.
func (d *dispatcher) choose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.choosing = false
	d.dispatch()
}

func (d *dispatcher) dispatch() {
	for d.free > 0 && !d.choosing && !d.closed {
		j := d.next()
		if j == nil {
			return
		}
		d.free--
		if j.batch.Size > 1 && j.lost < suspectAfter {
			d.collect(j)
		} else {
			d.start([]*job{j})
		}
	}
}

func (d *dispatcher) next() *job {
	if len(d.suspects) > 0 && d.suspect == nil {
		j := d.suspects[0]
		d.suspects = d.suspects[1:]
		d.suspect = j
		time.AfterFunc(suspectHold, func() { d.release(j) })
		return j
	}
	l := d.nextLane()
	if l == nil {
		return nil
	}
	j := l.ready[0]
	l.ready[0] = nil
	l.ready = l.ready[1:]
	l.served++
	return j
}

// release lets the next suspect run, though j still does.
func (d *dispatcher) release(j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.suspect == j {
		d.suspect = nil
		d.dispatch()
	}
}

func (d *dispatcher) nextLane() *lane {
	for _, l := range d.lanes {
		if l.Strict && len(l.ready) > 0 {
			return l // without a turn of the others
		}
	}
	var best *lane
	total := 0
	for _, l := range d.lanes {
		if l.Strict || len(l.ready) == 0 {
			continue
		}
		l.turn += l.Weight
		total += l.Weight
		if best == nil || l.turn > best.turn {
			best = l
		}
	}
	if best != nil {
		best.turn -= total
	}
	return best
}

// stale takes out the jobs that have been ready for longer than age: other workers
// may have room for them.
func (d *dispatcher) stale(age time.Duration) []*job {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*job
	now := time.Now()
	for _, l := range d.lanes {
		for len(l.ready) > 0 && now.Sub(l.ready[0].Received) > age {
			out = append(out, l.ready[0])
			l.ready = l.ready[1:]
		}
	}
	return out
}

// close starts nothing more and returns what was ready.
func (d *dispatcher) close() []*job {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	out := d.suspects
	for _, l := range d.lanes {
		out = append(append(out, l.ready...), l.disperse()...)
		l.ready = nil
	}
	d.suspects = nil
	return out
}
