package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace"
)

// SweepWaiting removes what waits of tasks that are finished: those that were
// cancelled when nobody could be told, for example. It returns how many there were.
// And it wakes the movers for what should have been moved long ago: whoever left it
// may have died before its alarm was set.
func (s *Store) SweepWaiting(ctx context.Context) (uint64, error) {
	removed := uint64(0)
	for shard := range scheduleStreams {
		ids, overdue, err := s.allWaiting(ctx, shard)
		if err != nil {
			return removed, err
		}
		for _, second := range overdue {
			if err := s.alarms[shard].setAgain(ctx, second); err != nil {
				return removed, fmt.Errorf("wake the movers: %w", err)
			}
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

// RingOverdue wakes the movers for what should have been moved a minute or a few ago:
// whoever left it died before its alarm was set, its alarm was lost, or the clocks of
// the broker and of the one who submitted it differ by seconds. Call it every minute
// at least; what is older, the sweep finds.
func (s *Store) RingOverdue(ctx context.Context) error {
	newest := time.Now().Add(-longOverdue).Truncate(time.Second)
	for shard := range scheduleStreams {
		filters := make([]string, overdueWindow/time.Second)
		for i := range filters {
			filters[i] = secondFilter(shard, "*", newest.Add(-time.Duration(i)*time.Second))
		}
		found, err := s.lastOf(ctx, scheduleStream(shard), maxListed, filters)
		if err != nil && !errors.Is(err, errTooMany) {
			return err
		}
		for i, filter := range filters {
			second := newest.Add(-time.Duration(i) * time.Second)
			in := func(st stored) bool { return secondFilter(shard, "*", second) == filterOf(st.subject) }
			if err == nil && !slices.ContainsFunc(found, in) {
				continue
			}
			if err := s.alarms[shard].setAgain(ctx, second); err != nil {
				return fmt.Errorf("wake the movers for %s: %w", filter, err)
			}
		}
	}
	return nil
}

// overdueWindow is how many seconds one look is for.
const overdueWindow = 3 * time.Minute

// filterOf is the filter of the second under which something waits.
func filterOf(subject string) string {
	parts := strings.Split(subject, ".")
	if len(parts) != 5 {
		return ""
	}
	parts[2], parts[4] = "*", "*"
	return strings.Join(parts, ".")
}

// longOverdue is after how long nobody can be at moving something any more.
const longOverdue = 2 * moveWait

// allWaiting returns the tasks that wait in a shard, and the seconds that are past
// for which something waits. Ids that are none were put there by hand. As a filter
// they could match others.
func (s *Store) allWaiting(ctx context.Context, shard int) (ids []string, overdue []time.Time, err error) {
	prefix := fmt.Sprintf("schedules.%d.task.", shard)
	err = s.scan(ctx, scheduleStream(shard), prefix+">", func(st stored) bool {
		if id := strings.TrimPrefix(st.subject, prefix); millrace.ValidateID(id) == nil {
			ids = append(ids, id)
		}
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	past := map[int64]bool{}
	before := time.Now().Add(-longOverdue)
	err = s.scan(ctx, scheduleStream(shard), fmt.Sprintf("waiting.%d.>", shard), func(st stored) bool {
		parts := strings.Split(st.subject, ".")
		unix, err := strconv.ParseInt(parts[len(parts)-2], 10, 64)
		id := parts[len(parts)-1]
		if err != nil || millrace.ValidateID(id) != nil || st.subject != waitingSubject(id, time.Unix(unix, 0)) {
			return true
		}
		ids = append(ids, id)
		if second := time.Unix(unix, 0); second.Before(before) && !past[unix] {
			past[unix] = true
			overdue = append(overdue, second)
		}
		return true
	})
	return ids, overdue, err
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
			for _, subject := range []string{waitingFilter(r.ID), timerSubject(r.ID)} {
				if err := s.purge(ctx, scheduleStream(shardOf(r.ID)), subject); err != nil {
					return removed, err
				}
			}
			removed++
		}
	}
	return removed, nil
}
