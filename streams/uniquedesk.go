package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// desk takes keys that nobody has, for tasks that are due, and submits those tasks: for
// many at once, since both are writes that one after the other would wait for company.
// It looks all their keys up with one request, writes those that are free as one batch,
// and then their tasks as one. Keys that somebody has are left to who asked.
//
// Those who were answered come back within a moment, if at all, and so it waits for them
// as a committer does.
type desk struct {
	store    *Store
	waiting  chan *claim
	done     chan struct{} // closed when run has ended
	expected int           // how many seem to come
	took     time.Duration // how long the last ones took
}

// claim is a key that is to be taken.
type claim struct {
	entry  uniqueEntry
	key    string
	data   []byte
	ttl    time.Duration
	seq    uint64 // of the key, once it was taken
	answer chan claimed
}

// claimed is whether the key was taken, and what came of submitting the task then.
type claimed struct {
	taken bool
	err   error
}

func newDesk(s *Store) *desk {
	return &desk{store: s, waiting: make(chan *claim, maxWaiting), done: make(chan struct{})}
}

// take takes a key that nobody has and submits its task, or reports that it has not.
func (d *desk) take(ctx context.Context, c *claim) (taken bool, err error) {
	c.answer = make(chan claimed, 1)
	select {
	case d.waiting <- c:
	case <-ctx.Done():
		return false, fmt.Errorf("%w: too many writers wait: %w", millrace.ErrUnavailable, context.Cause(ctx))
	case <-d.done:
		return false, errClosed
	}
	select {
	case a := <-c.answer:
		return a.taken, a.err
	case <-ctx.Done():
		return false, fmt.Errorf("%w: take a unique key: %w", millrace.ErrUnavailable, context.Cause(ctx))
	case <-d.done:
		return false, errClosed
	}
}

// run serves until ctx ends.
func (d *desk) run(ctx context.Context) {
	defer close(d.done)
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-d.waiting:
			all := d.gather(ctx, first)
			start := time.Now()
			d.serve(ctx, all)
			d.took = time.Since(start)
			d.expected = len(all) + len(d.waiting)
		}
	}
}

// gather takes first and who else waits, or comes within a moment.
func (d *desk) gather(ctx context.Context, first *claim) []*claim {
	all := []*claim{first}
	timer := time.NewTimer(min(2*d.took, maxPatience))
	defer timer.Stop()
	for len(all) < maxBatch {
		select {
		case c := <-d.waiting:
			all = append(all, c)
			continue
		default:
		}
		if len(all) >= d.expected {
			break
		}
		select {
		case c := <-d.waiting:
			all = append(all, c)
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		break
	}
	return all
}

// serve answers each of them.
func (d *desk) serve(ctx context.Context, all []*claim) {
	ctx, cancel := context.WithTimeout(ctx, claimTime/2)
	defer cancel()
	first := make(map[string]bool, len(all)) // of several with the same key
	var subjects []string
	for _, c := range all {
		if subject := bucketSubject(uniqueBucket, c.key); !first[subject] {
			first[subject] = true
			subjects = append(subjects, subject)
		}
	}
	found, err := d.store.lastByAll(ctx, bucketStream(uniqueBucket), subjects)
	if err != nil {
		for _, c := range all {
			c.answer <- claimed{false, err}
		}
		return
	}
	revisions := map[string]uint64{}
	for _, st := range found {
		if revisions[st.subject] = st.seq; len(st.data) > 0 {
			first[st.subject] = false
		}
	}
	var takes []*claim
	var msgs []*nats.Msg
	for _, c := range all {
		subject := bucketSubject(uniqueBucket, c.key)
		if !first[subject] {
			c.answer <- claimed{}
			continue
		}
		first[subject] = false
		msg := newMessage(subject, c.data, revisions[subject])
		if c.ttl > 0 {
			expireAfter(msg, c.ttl)
		}
		takes, msgs = append(takes, c), append(msgs, msg)
	}
	d.submit(ctx, d.keep(ctx, takes, msgs))
}

// keep writes the keys, and returns those that were taken.
func (d *desk) keep(ctx context.Context, takes []*claim, msgs []*nats.Msg) (taken []*claim) {
	for i, v := range d.store.buckets[uniqueBucket].writes.storeAll(ctx, msgs) {
		switch {
		case v.err == nil:
			takes[i].seq = v.seq
			taken = append(taken, takes[i])
		case errors.Is(v.err, millrace.ErrConflict): // somebody else was faster
			takes[i].answer <- claimed{}
		default:
			takes[i].answer <- claimed{false, fmt.Errorf("take a unique key: %w", v.err)}
		}
	}
	return taken
}

// submit submits the tasks that have their keys.
func (d *desk) submit(ctx context.Context, taken []*claim) {
	tasks := make([]millrace.RawTask, len(taken))
	for i, c := range taken {
		tasks[i] = c.entry.Task
	}
	for i, err := range d.store.SubmitMany(ctx, tasks) {
		if errors.Is(err, millrace.ErrConflict) {
			if err = d.store.checkID(ctx, tasks[i]); errors.Is(err, errIDTaken) {
				d.store.dropKey(ctx, taken[i].key, taken[i].seq)
			}
		}
		if err != nil {
			err = fmt.Errorf("submit a unique task: %w", err)
		}
		taken[i].answer <- claimed{true, err}
	}
}
