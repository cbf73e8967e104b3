package streams

import (
	"context"
	"fmt"
	"time"

	"millrace"
)

// Bucket is a key-value bucket whose entries change by compare-and-set.
type Bucket struct {
	store  *Store
	name   string
	writes *committer
}

// Claims holds idempotency keys, each for a day.
func (s *Store) Claims() *Bucket { return s.buckets[claimsBucket] }

// Orders holds the orders.
func (s *Store) Orders() *Bucket { return s.buckets[ordersBucket] }

// Get returns the value of key and its revision, or [millrace.ErrNotFound].
// Keys are the caller's to validate: letters, digits, and any of "-_=./".
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	found, err := b.store.lastBy(ctx, bucketStream(b.name), bucketSubject(b.name, key))
	if err != nil {
		return nil, 0, err
	}
	if len(found) == 0 {
		return nil, 0, fmt.Errorf("%s %s: %w", b.name, key, millrace.ErrNotFound)
	}
	return found[0].data, found[0].seq, nil
}

// Put writes value if key still has that revision, zero meaning that it is not
// there, and returns the new one. Else it returns [millrace.ErrConflict]. A ttl
// of zero keeps the entry as long as the bucket keeps any.
func (b *Bucket) Put(ctx context.Context, key string, value []byte, revision uint64, ttl time.Duration) (uint64, error) {
	msg := newMessage(bucketSubject(b.name, key), value, revision)
	if ttl > 0 {
		expireAfter(msg, ttl)
	}
	seq, err := b.writes.store(ctx, msg)
	if err != nil {
		return 0, fmt.Errorf("write %s %s: %w", b.name, key, err)
	}
	return seq, nil
}
