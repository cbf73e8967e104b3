package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"millrace"
)

// lookedAtKey is how old a key gets before it is looked at whether its task has it still.
const lookedAtKey = 24 * time.Hour

// SweepUnique forgets the keys that were taken, or looked at, a day ago, and that no task
// has any more. Those that a task has are written anew, so that the next sweeps leave
// them alone for as long. It returns how many it forgot.
func (s *Store) SweepUnique(ctx context.Context) (forgotten uint64, err error) {
	bucket, before := s.buckets[uniqueBucket], time.Now().Add(-lookedAtKey)
	var mu sync.Mutex
	err = s.scanPages(ctx, bucketStream(uniqueBucket), bucketSubject(uniqueBucket, ">"), 1, func(page []stored) (bool, error) {
		if young := slices.IndexFunc(page, func(st stored) bool { return !st.time.Before(before) }); young >= 0 {
			page = page[:young]
		}
		var failed error
		each(page, func(st stored) {
			gone, err := s.sweepKey(ctx, bucket, st)
			mu.Lock()
			defer mu.Unlock()
			if gone {
				forgotten++
			}
			if err != nil {
				failed = err
			}
		})
		return len(page) > 0, failed
	})
	return forgotten, err
}

func (s *Store) sweepKey(ctx context.Context, bucket *Bucket, st stored) (gone bool, err error) {
	var e uniqueEntry
	key := strings.TrimPrefix(st.subject, bucketSubject(uniqueBucket, ""))
	if len(st.data) == 0 {
		return false, nil
	}
	if err := decode(st.data, &e); err != nil {
		return false, fmt.Errorf("unique key %s: %w", key, err)
	}
	if e.While == millrace.WhileFor {
		return false, nil // it goes by itself
	}
	f, err := s.Lookup(ctx, e.Task.ID)
	switch {
	case errors.Is(err, millrace.ErrNotFound), errors.Is(err, millrace.ErrGone), err == nil && e.over(f):
		gone, err = true, bucket.Delete(ctx, key, st.seq)
	case err == nil:
		_, err = bucket.Put(ctx, key, st.data, st.seq, 0)
	}
	if errors.Is(err, millrace.ErrConflict) {
		return false, nil // somebody has taken it
	}
	return gone && err == nil, err
}
