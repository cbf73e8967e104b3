package scheduler

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"millrace"
	"millrace/otlp"
	"millrace/streams"
)

// Config is how a scheduler works. The zero value is a sensible one.
type Config struct {
	// Retention is how much of what is done the logs keep. Zero means
	// [streams.DefaultRetention].
	Retention streams.Retention
	// Tidy is how often the janitor comes. Zero means every 30 s.
	Tidy time.Duration
	// MoveRate is how many tasks a second it moves into their queues at most, when
	// many are due: the others are to get at their logs too. Zero means 4,000 if the
	// broker syncs each write, else 24,000.
	MoveRate int
	// Spans takes a span of each task that a schedule submits. Nil means that there are
	// none.
	Spans *otlp.Exporter
	// Logger hears of what goes wrong. Nil means silence.
	Logger *slog.Logger
}

// Scheduler moves what is due to where it is carried out, and keeps house. As many
// may run as one likes: each thing is done once, whoever does it, and while none
// runs, what is due waits.
type Scheduler struct {
	store *streams.Store
	book  *Book
	cfg   Config
	log   *slog.Logger

	moving chan struct{} // holds one while somebody moves tasks
	rested time.Time     // when the next may be, for who holds that
	took   atomic.Int64  // nanoseconds that the last move took
}

// New returns a scheduler for the store.
func New(store *streams.Store, cfg Config) *Scheduler {
	if cfg.Retention == (streams.Retention{}) {
		cfg.Retention = streams.DefaultRetention()
	}
	cfg.Tidy = cmp.Or(cfg.Tidy, 30*time.Second)
	if cfg.MoveRate <= 0 {
		cfg.MoveRate = 4_000
		if store.Async() {
			cfg.MoveRate = 24_000
		}
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Scheduler{store: store, book: &Book{store, cfg.Spans}, cfg: cfg, log: cfg.Logger, moving: make(chan struct{}, 1)}
}

// Run moves and tidies until ctx ends. It returns nil after an orderly stop.
func (s *Scheduler) Run(ctx context.Context) error {
	outer := ctx
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		running sync.WaitGroup
		failed  error
	)
	for shard := range s.store.Shards() {
		puller, err := s.store.PullDue(shard)
		if err != nil {
			failed = err
			stop()
			break
		}
		running.Go(func() { s.move(ctx, puller) })
	}
	running.Go(func() { s.tidy(ctx) })
	running.Wait()
	if outer.Err() != nil {
		return nil // it was stopped before it began
	}
	return failed
}

// How much is moved at once. A task that is new waits in its queue's log behind what
// was moved before it: so it is as little as keeps up the rate, which is more while
// many others write to the same log.
const (
	leastMove = 2 * time.Millisecond // what a move may take at least
	maxMoved  = 500
)

func (s *Scheduler) page() int {
	took := max(time.Duration(s.took.Load()), leastMove)
	return min(max(int(took.Seconds()*float64(s.cfg.MoveRate)), 1), maxMoved)
}

// move brings what is due in one shard to where it belongs, until ctx ends.
func (s *Scheduler) move(ctx context.Context, puller *streams.DuePuller) {
	defer func() {
		if err := puller.Close(); err != nil {
			s.log.Warn("what was asked for may be late", "error", err)
		}
	}()
	for failures := 0; ctx.Err() == nil; {
		puller.Page = s.page()
		due, err := puller.Next(ctx, maxMoved)
		if err != nil {
			failures++
			s.recover(ctx, puller, failures, err)
			continue
		}
		failures = 0
		// What was taken is moved, also while we are being stopped.
		s.deal(ctx, due)
	}
}

// retold is after how many failures, some a second at most, it is said again.
const retold = 60

func (s *Scheduler) recover(ctx context.Context, puller *streams.DuePuller, failures int, err error) {
	if ctx.Err() != nil {
		return
	}
	pause := min(50*time.Millisecond<<min(failures-1, 10), time.Second)
	told := failures%retold != 1 // it may take long
	if !told {
		s.log.Warn("cannot get what is due, trying until it is possible", "error", err)
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return
	}
	if err := puller.Restore(ctx); err != nil && ctx.Err() == nil && !told {
		s.log.Warn("the consumer of what is due is not there", "error", err)
	}
}

// deal does it all at once: at a full hour many schedules are due, and each is some
// writes, which then share their syncs.
func (s *Scheduler) deal(ctx context.Context, due []*streams.Due) {
	var (
		tasks   []*streams.Due
		fired   []*streams.Due
		dealing sync.WaitGroup
	)
	for _, d := range due {
		if d.Fired == nil {
			tasks = append(tasks, d)
		} else {
			fired = append(fired, d)
		}
	}
	if len(fired) > 0 {
		now, err := s.store.Now(context.WithoutCancel(ctx))
		for _, d := range fired {
			dealing.Go(func() { s.fire(context.WithoutCancel(ctx), d, now, err) })
		}
	}
	s.moveTasks(ctx, tasks)
	dealing.Wait()
}

// moveTasks moves some tasks, and rests until as many more may be moved, whoever of us
// does it.
func (s *Scheduler) moveTasks(ctx context.Context, tasks []*streams.Due) {
	if len(tasks) == 0 {
		return
	}
	s.moving <- struct{}{}
	defer func() { <-s.moving }()
	start := time.Now()
	// A rest that was too long is made up for, since timers are late by as much as a
	// small page takes.
	if earliest := start.Add(-mostLate); s.rested.Before(earliest) {
		s.rested = earliest
	}
	s.rested = s.rested.Add(time.Duration(len(tasks)) * time.Second / time.Duration(s.cfg.MoveRate))
	if err := s.store.Move(context.WithoutCancel(ctx), tasks); err != nil {
		s.log.Warn("tasks that are due cannot be moved yet, trying again", "error", err)
	}
	s.took.Store(int64(time.Since(start)))
	rest := time.NewTimer(time.Until(s.rested))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
}

// mostLate is how late the next move may be and still be made up for.
const mostLate = 20 * time.Millisecond

// fireAgain is how soon it is tried again to fire a schedule: its queue may be full.
// What it says may be wrong too, so that it has to be replaced.
const (
	fireAgain   = time.Second
	fireInvalid = 30 * time.Second
)

// fire deals with a due time, unless what asked for the time has failed.
func (s *Scheduler) fire(ctx context.Context, d *streams.Due, now time.Time, err error) {
	if err == nil {
		err = s.book.fire(ctx, *d.Fired, now)
	}
	if err == nil {
		s.store.DealtWith(d)
		err = d.Ack()
	} else {
		pause := fireAgain
		if errors.Is(err, millrace.ErrInvalid) || errors.Is(err, errUnreadable) {
			pause = fireInvalid
		}
		s.log.Warn("a schedule cannot fire yet, trying again", "schedule", d.Fired.Name, "due", d.At, "error", err)
		err = d.Release(pause)
	}
	if err != nil {
		s.log.Warn("a schedule comes again", "schedule", d.Fired.Name, "error", err)
	}
}

// sweepRounds is for how many rounds the janitor leaves alone what waits, and the
// records: to look at all of it takes long.
const sweepRounds = 20

// mendAhead is how many rounds before a schedule is due it is looked at whether it will
// fire.
const mendAhead = 4

// tidy is the janitor: it trims the logs, wakes the movers for what is overdue, lets
// go on what a limit need not hold any more, removes what is left of cancelled tasks, brings lost tasks back, and arms schedules that are
// not.
func (s *Scheduler) tidy(ctx context.Context) {
	tick := time.NewTicker(s.cfg.Tidy)
	defer tick.Stop()
	orphans, held := s.store.Orphans(), s.store.Held()
	for round := 0; ; round++ {
		for _, queue := range s.store.Queues() {
			n, err := s.store.Trim(ctx, queue, s.cfg.Retention)
			s.tell(ctx, "trimmed a log", n, err, "queue", queue)
		}
		n, err := s.store.TrimDue(ctx)
		s.tell(ctx, "removed what was moved", n, err)
		s.tell(ctx, "woke the movers", 0, s.store.RingOverdue(ctx))
		s.tell(ctx, "let go on what was held", 0, held.Sweep(ctx))
		if round%sweepRounds == 0 { // it looks at all that waits
			n, err := s.store.SweepWaiting(ctx)
			s.tell(ctx, "removed what was left of finished tasks", n, err)
			n, err = s.store.SweepUnique(ctx)
			s.tell(ctx, "forgot unique keys that no task has any more", n, err)
			back, lost, err := orphans.Sweep(ctx)
			s.tell(ctx, "brought back tasks that were lost", back, err)
			s.tell(ctx, "gave up tasks that were lost with their args", lost, nil)
		}
		mended, err := s.book.mend(ctx, time.Now().Add(mendAhead*s.cfg.Tidy))
		s.tell(ctx, "armed schedules that were not", uint64(mended), err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Scheduler) tell(ctx context.Context, what string, n uint64, err error, args ...any) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.log.Warn("cannot keep house, trying again", append(args, "what", what, "error", err)...)
	case n > 0:
		s.log.Info(what, append(args, "count", n)...)
	}
}
