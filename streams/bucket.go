package streams

import (
	"context"
	"fmt"
	"strings"
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

// Schedules holds the schedules, by name.
func (s *Store) Schedules() *Bucket { return s.buckets[schedulesBucket] }

// Orders holds the orders.
func (s *Store) Orders() *Bucket { return s.buckets[ordersBucket] }

// Get returns the value of key and its revision, or [millrace.ErrNotFound]; then the
// revision is the one to create it with.
// Keys are the caller's to validate: letters, digits, and any of "-_=./".
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	found, err := b.store.lastBy(ctx, bucketStream(b.name), bucketSubject(b.name, key))
	if err != nil {
		return nil, 0, err
	}
	if len(found) == 0 {
		return nil, 0, fmt.Errorf("%s %s: %w", b.name, key, millrace.ErrNotFound)
	}
	if len(found[0].data) == 0 {
		return nil, found[0].seq, fmt.Errorf("%s %s: %w", b.name, key, millrace.ErrNotFound)
	}
	return found[0].data, found[0].seq, nil
}

// MaxValue is how long a value may be.
func (s *Store) MaxValue() int { return int(s.nc.MaxPayload()) - 2*maxHeaders }

// Entry is one key of a bucket.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// List returns every entry of the bucket, the one first that was written longest
// ago.
func (b *Bucket) List(ctx context.Context) ([]Entry, error) {
	var all []Entry
	err := b.store.scan(ctx, bucketStream(b.name), bucketSubject(b.name, ">"), func(st stored) bool {
		if len(st.data) > 0 {
			all = append(all, Entry{strings.TrimPrefix(st.subject, bucketSubject(b.name, "")), st.data, st.seq})
		}
		return true
	})
	return all, err
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

// Delete removes key if it still has that revision, or returns
// [millrace.ErrConflict]. What is left is a mark, which goes after an hour.
func (b *Bucket) Delete(ctx context.Context, key string, revision uint64) error {
	msg := newMessage(bucketSubject(b.name, key), nil, revision)
	msg.Header.Set("KV-Operation", "PURGE")
	msg.Header.Set("Nats-Rollup", "sub")
	expireAfter(msg, time.Hour)
	if _, err := b.writes.store(ctx, msg); err != nil {
		return fmt.Errorf("delete %s %s: %w", b.name, key, err)
	}
	return nil
}
