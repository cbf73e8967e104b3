package streams

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"millrace"
)

// SweepWaiting removes what waits of tasks that are finished: those that were
// cancelled when nobody could be told, for example. It returns how many there were.
func (s *Store) SweepWaiting(ctx context.Context) (uint64, error) {
	removed := uint64(0)
	for shard := range scheduleStreams {
		var ids []string
		prefix := fmt.Sprintf("schedules.%d.task.", shard)
		err := s.scan(ctx, scheduleStream(shard), prefix+">", func(st stored) bool {
			// An id that is none was put there by hand. As a filter it could match others.
			if id := strings.TrimPrefix(st.subject, prefix); millrace.ValidateID(id) == nil {
				ids = append(ids, id)
			}
			return true
		})
		if err != nil {
			return removed, err
		}
		for some := range slices.Chunk(ids, maxPulled) {
			n, err := s.sweep(ctx, some)
			removed += n
			if err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

func (s *Store) sweep(ctx context.Context, ids []string) (uint64, error) {
	subjects := make([]string, len(ids))
	for i, id := range ids {
		subjects[i] = recordSubject(id)
	}
	found, err := s.lastBy(ctx, bucketStream(resultsBucket), subjects...)
	if err != nil {
		return 0, err
	}
	removed := uint64(0)
	for _, st := range found {
		// A record that cannot be read is told of when its task comes.
		if r, err := parseRecord(st); err == nil && r.State.Final() {
			if err := s.purge(ctx, scheduleStream(shardOf(r.ID)), waitingSubject(r.ID)); err != nil {
				return removed, err
			}
			removed++
		}
	}
	return removed, nil
}
