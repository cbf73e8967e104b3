package streams

import (
	"context"
	"fmt"
	"sync"

	"millrace"
)

// lookups looks keys of a bucket up, for many at once: while one request is under way,
// those who come gather for the next. A request of its own for each costs the server,
// and us, more than to write the entry does.
type lookups struct {
	bucket *Bucket

	mu     sync.Mutex
	asking bool
	next   *lookup
}

// lookup is one request for some keys.
type lookup struct {
	keys  map[string]bool
	done  chan struct{}
	found map[string]stored // by subject
	err   error
}

// get is [Bucket.Get].
func (l *lookups) get(ctx context.Context, key string) ([]byte, uint64, error) {
	l.mu.Lock()
	if l.next == nil {
		l.next = &lookup{keys: map[string]bool{}, done: make(chan struct{})}
	}
	mine := l.next
	mine.keys[key] = true
	lead := !l.asking
	l.asking = true
	l.mu.Unlock()
	if lead {
		// What others wait for is not up to this one's context.
		go l.ask(context.WithoutCancel(ctx))
	}
	select {
	case <-mine.done:
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("%w: %w", millrace.ErrUnavailable, context.Cause(ctx))
	}
	if mine.err != nil {
		return nil, 0, mine.err
	}
	st, ok := mine.found[bucketSubject(l.bucket.name, key)]
	if !ok || len(st.data) == 0 {
		return nil, st.seq, fmt.Errorf("%s %s: %w", l.bucket.name, key, millrace.ErrNotFound)
	}
	return st.data, st.seq, nil
}

// ask asks for what has gathered, until nothing has.
func (l *lookups) ask(ctx context.Context) {
	for {
		l.mu.Lock()
		now := l.next
		l.next = nil
		l.asking = now != nil
		l.mu.Unlock()
		if now == nil {
			return
		}
		filters := make([]string, 0, len(now.keys))
		for key := range now.keys {
			filters = append(filters, bucketSubject(l.bucket.name, key))
		}
		found, err := l.bucket.store.lastByAll(ctx, bucketStream(l.bucket.name), filters)
		now.found, now.err = make(map[string]stored, len(found)), err
		for _, st := range found {
			now.found[st.subject] = st
		}
		close(now.done)
	}
}

