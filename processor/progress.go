package processor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"millrace"
	"millrace/streams"
)

// Progress tells how far a handler is with its task, in whatever it counts; a total
// of zero means that it is not known. ctx is the handler's context, or comes from it:
// with any other, nothing happens. Of a batch it is the progress of every task.
//
// It is seen in the task's record, within a second. It may be called as often as one
// likes, since only the last value of a second is written, and it does not fail: to
// lose it harms nobody.
func Progress(ctx context.Context, done, total int, note string) {
	if r, ok := ctx.Value(reporterKey{}).(reporter); ok {
		r.say(millrace.Progress{Done: done, Total: total, Note: truncate(note, maxNote), At: time.Now().UTC()})
	}
}

// maxNote is how long a note may be, in bytes.
const maxNote = 1 << 10

type reporterKey struct{}

// reporter takes what the handler of some tasks says.
type reporter struct {
	*reports
	runs []*run
}

func (r reporter) say(said millrace.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.runs {
		one.said.Store(&said)
		r.unwritten[one.job] = true
	}
}

// reports writes down, every second, what handlers have said since. Whoever else
// writes about a task writes that along, its outcome above all.
type reports struct {
	store  *streams.Store
	leases *leases
	log    *slog.Logger

	mu        sync.Mutex
	unwritten map[*job]bool
}

func newReports(store *streams.Store, ls *leases, log *slog.Logger) *reports {
	return &reports{store: store, leases: ls, log: log, unwritten: map[*job]bool{}}
}

const reportEvery = time.Second

// run writes until ctx ends.
func (rs *reports) run(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			rs.write(ctx)
		}
	}
}

func (rs *reports) write(ctx context.Context) {
	rs.mu.Lock()
	jobs := rs.unwritten
	rs.unwritten = make(map[*job]bool, len(jobs))
	rs.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, rs.store.AckWait()/3)
	defer cancel()
	var writing sync.WaitGroup
	for j := range jobs {
		writing.Go(func() { rs.writeOne(ctx, j) })
	}
	writing.Wait()
}

func (rs *reports) writeOne(ctx context.Context, j *job) {
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.closed || rs.leases.lost(j) {
		return
	}
	err := rs.store.Note(ctx, j.Delivery, running(j))
	switch {
	case err == nil:
	case errors.Is(err, millrace.ErrConflict):
		rs.leases.taken(j)
	default:
		rs.log.Warn("cannot write progress yet", "task", j.Task.ID, "error", err)
		rs.mu.Lock()
		defer rs.mu.Unlock()
		rs.unwritten[j] = true
	}
}
