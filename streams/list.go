package streams

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace"
)

// ListQuery says which tasks to list. An empty field matches any.
type ListQuery struct {
	State millrace.State
	Kind  string
	Queue string
	// Limit is how many at most; 500 are the most that there can be.
	Limit int
	// Cursor is where the page before ended; empty for the first one.
	Cursor string
}

// List returns the tasks that something is written about, the one first that was
// written about last, and the cursor of the next page, empty behind the last one. A
// page may have fewer tasks than asked for, even none, and not be the last: of a
// long list only so much is looked at for one page.
//
// That is every task that has a record, and every task that was submitted for later
// and whose time has not come, unless it comes in a moment. What is in its queue's log only has none: a task that
// is pending, or in its first run. A task that changes between two pages may be
// missing from both, or in both. Errors wrap [millrace.ErrInvalid], for a cursor
// that is none, or [millrace.ErrUnavailable].
func (s *Store) List(ctx context.Context, q ListQuery) (page []millrace.Record, next string, err error) {
	q.Limit = min(q.Limit, maxBatch)
	sources := s.listed(q)
	if err := resume(sources, q.Cursor); err != nil {
		return nil, "", err
	}
	for _, l := range sources {
		if err := l.fill(ctx, s, q.Limit); err != nil {
			return nil, "", err
		}
	}
	var waiting []string
	for len(page) < q.Limit {
		newest := sources[0]
		for _, l := range sources[1:] {
			if len(l.found) > 0 && (len(newest.found) == 0 || l.found[0].written.After(newest.found[0].written)) {
				newest = l
			}
		}
		if len(newest.found) == 0 {
			break
		}
		if newest != sources[0] {
			waiting = append(waiting, recordSubject(newest.found[0].value.ID))
		}
		page = append(page, newest.found[0].value)
		newest.found = newest.found[1:]
	}
	page, err = s.withoutRecorded(ctx, page, waiting)
	return page, cursorOf(sources), err
}

// withoutRecorded takes out of a page what seems to wait and has a record: it was
// cancelled, or its time has come, and it is listed as that.
func (s *Store) withoutRecorded(ctx context.Context, page []millrace.Record, waiting []string) ([]millrace.Record, error) {
	if len(waiting) == 0 {
		return page, nil
	}
	found, err := s.lastBy(ctx, bucketStream(resultsBucket), waiting...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(page, func(r millrace.Record) bool {
		return r.State == millrace.Scheduled && slices.ContainsFunc(found, func(st stored) bool {
			return st.subject == recordSubject(r.ID) && slices.Contains(waiting, st.subject)
		})
	}), nil
}

// listed are the places to look at for a query: the records come first.
func (s *Store) listed(q ListQuery) []*backwards[millrace.Record] {
	matches := func(r millrace.Record) bool {
		return (q.State == "" || q.State == r.State) && (q.Kind == "" || q.Kind == r.Kind) && (q.Queue == "" || q.Queue == r.Queue)
	}
	all := []*backwards[millrace.Record]{{stream: bucketStream(resultsBucket), accept: func(st stored) (millrace.Record, bool) {
		r, err := parseRecord(st)
		if err != nil {
			return millrace.Record{}, false
		}
		expired := r.State.Final() && !r.ExpiresAt.IsZero() && !time.Now().Before(r.ExpiresAt)
		return *r, !expired && matches(*r)
	}}}
	if q.State != "" && q.State != millrace.Scheduled {
		return all
	}
	for shard := range scheduleStreams {
		all = append(all, &backwards[millrace.Record]{
			stream: scheduleStream(shard),
			accept: func(st stored) (millrace.Record, bool) {
				var w waiting
				if err := decode(st.data, &w); err != nil || waitingSubject(w.Task.ID, ceilSecond(w.Due)) != st.subject {
					return millrace.Record{}, false
				}
				r := w.record()
				return r, w.Sequence == 0 && matches(r) // others have a record
			},
		})
	}
	return all
}

// A cursor is where each of the listings goes on.
func cursorOf(sources []*backwards[millrace.Record]) string {
	parts, more := make([]string, len(sources)), false
	for i, l := range sources {
		before := l.before
		if len(l.found) > 0 {
			before = l.found[0].seq + 1
		}
		more = more || before > 1
		parts[i] = strconv.FormatUint(before, 36)
	}
	if !more {
		return ""
	}
	return strings.Join(parts, "-")
}

func resume(sources []*backwards[millrace.Record], cursor string) error {
	if cursor == "" {
		return nil
	}
	parts := strings.Split(cursor, "-")
	if len(parts) != len(sources) {
		return fmt.Errorf("%w: the cursor is not of this list", millrace.ErrInvalid)
	}
	for i, l := range sources {
		before, err := strconv.ParseUint(parts[i], 36, 64)
		if err != nil || before == 0 {
			return fmt.Errorf("%w: the cursor is not of this list", millrace.ErrInvalid)
		}
		l.before = before
	}
	return nil
}
