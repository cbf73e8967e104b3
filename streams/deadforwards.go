package streams

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace"
)

// deadRun goes through the dead in the order in which they died, up to where they ended
// when it began: who dies again meanwhile comes after that, and so is met once.
type deadRun struct {
	from, before uint64 // sequences
}

// maxRun is how many of the dead are looked at for one page at most.
const maxRun = 16 * maxBatch

// startRun is where that query begins, or goes on.
func (s *Store) startRun(ctx context.Context, q DeadQuery) (deadRun, error) {
	if q.Cursor != "" {
		return parseRun(q.Cursor)
	}
	first, last, err := s.bounds(ctx, deadStream)
	if err != nil {
		return deadRun{}, err
	}
	r := deadRun{first, last + 1}
	if !q.Since.IsZero() {
		if r.from, err = s.firstSince(ctx, deadStream, q.Since, last); err != nil {
			return r, fmt.Errorf("list %s: %w", deadStream, err)
		}
	}
	if !q.Until.IsZero() {
		if r.before, err = s.firstSince(ctx, deadStream, q.Until, last); err != nil {
			return r, fmt.Errorf("list %s: %w", deadStream, err)
		}
	}
	return r, nil
}

// cursor is empty behind the last one.
func (r deadRun) cursor() string {
	if r.from >= r.before {
		return ""
	}
	return strconv.FormatUint(r.from, 36) + "." + strconv.FormatUint(r.before, 36)
}

func parseRun(cursor string) (r deadRun, err error) {
	from, before, ok := strings.Cut(cursor, ".")
	if ok {
		r.from, err = strconv.ParseUint(from, 36, 64)
	}
	if ok && err == nil {
		r.before, err = strconv.ParseUint(before, 36, 64)
	}
	if !ok || err != nil || r.from == 0 {
		return r, fmt.Errorf("%w: the cursor is not of this list", millrace.ErrInvalid)
	}
	return r, nil
}

// next finds up to limit that match, and when the last one died that it looked at. It
// goes past them.
func (r *deadRun) next(ctx context.Context, s *Store, q DeadQuery, limit int) (found []placed[DeadEntry], lookedUntil time.Time, err error) {
	for looked := 0; looked < maxRun && r.from < r.before; {
		page, end, err := s.getDirect(ctx, deadStream, maxBatch, directGet{NextBy: ">", Batch: maxBatch, MaxBytes: maxLooked, Seq: r.from})
		if err != nil {
			return nil, lookedUntil, fmt.Errorf("list %s: %w", deadStream, err)
		}
		for _, st := range page {
			if st.seq >= r.before {
				r.from = r.before
				return found, lookedUntil, nil
			}
			looked, lookedUntil, r.from = looked+1, st.time, st.seq+1
			if entry, ok := q.match(st); ok {
				found = append(found, placed[DeadEntry]{entry, st.time, st.seq})
			}
			if len(found) == limit {
				return found, lookedUntil, nil
			}
		}
		if left := end.Get("Nats-Num-Pending"); left == "" || left == "0" || len(page) == 0 {
			r.from = r.before
		}
	}
	return found, lookedUntil, nil
}
