package streams

import (
	"context"
	"fmt"
	"slices"
	"time"

	"millrace"
)

// backwards reads what it accepts of a stream, the newest first. The server can only
// read forwards, so it is read a window at a time, which grows where little is left of
// what was written.
//
// All of a window is read, whatever its subjects: for a filter the server would count
// what is left that it matches, which takes it 20 ms and more among 300,000 orders.
type backwards[T any] struct {
	stream string
	accept func(stored) (T, bool)
	// settle looks once more at what was accepted of a window, if it is set.
	settle func(context.Context, []placed[T]) ([]placed[T], error)

	from   uint64      // the sequence at which it ends; zero: at the first
	found  []placed[T] // what was read and is not taken yet, the newest first
	before uint64      // the sequence before which it goes on behind found; zero: at the end
	looked int         // how many messages were looked at
	oldest time.Time   // when the last one of them was written
	width  uint64      // of the next window
}

// placed is what was made of a message, and where that lies.
type placed[T any] struct {
	value   T
	written time.Time
	seq     uint64
}

// listTime is for how long messages are looked at for one page. What takes longer goes on
// with the next one.
const listTime = 200 * time.Millisecond

// So wide is a window, where there is a message at every place, and where there are few.
const (
	denseWindow = 16 * maxBatch
	maxWindow   = 64 * maxBatch
)

// open finds out where it begins and ends: it leaves out what was written before since,
// and what was not before until. A zero time is none.
func (l *backwards[T]) open(ctx context.Context, s *Store, since, until time.Time) error {
	first, last, err := s.bounds(ctx, l.stream)
	if err != nil {
		return err
	}
	l.from = max(first, l.from)
	if l.before == 0 || l.before > last+1 {
		l.before = last + 1
	}
	if !since.IsZero() {
		from, err := s.firstSince(ctx, l.stream, since, last)
		if err != nil {
			return fmt.Errorf("list %s: %w", l.stream, err)
		}
		l.from = max(l.from, from)
	}
	if !until.IsZero() {
		before, err := s.firstSince(ctx, l.stream, until, last)
		if err != nil {
			return fmt.Errorf("list %s: %w", l.stream, err)
		}
		l.before = min(l.before, before)
	}
	l.end()
	return nil
}

// fill finds up to limit messages, as far as time allows.
func (l *backwards[T]) fill(ctx context.Context, s *Store, limit int) error {
	for until := time.Now().Add(listTime); !l.done() && len(l.found) < limit; {
		if err := l.read(ctx, s, limit); err != nil {
			return err
		}
		if time.Now().After(until) {
			break
		}
	}
	return nil
}

// end notes that there is nothing before it, if so.
func (l *backwards[T]) end() {
	if l.before <= l.from {
		l.before = 1
	}
}

// done reports whether all was read.
func (l *backwards[T]) done() bool { return l.before == 1 }

// upTo is when the next one was written at the latest.
func (l *backwards[T]) upTo() time.Time {
	switch {
	case len(l.found) > 0:
		return l.found[0].written
	case l.done():
		return time.Time{}
	case l.oldest.IsZero():
		return endOfTime
	default:
		return l.oldest
	}
}

// endOfTime is after everything.
var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// read looks at one window. Up to limit messages are found then, or some more if there
// is something to settle.
func (l *backwards[T]) read(ctx context.Context, s *Store, limit int) error {
	if l.width == 0 {
		l.width = uint64(min(maxBatch, max(64, 2*limit)))
	}
	var accepted []placed[T]
	var oldest time.Time
	var from uint64
	looked := 0
	for whole := false; !whole; {
		from, accepted, looked = max(l.from, l.before-min(l.before, l.width)), nil, 0
		var err error
		whole, err = s.stretch(ctx, l.stream, from, l.before, func(st stored) {
			if looked++; looked == 1 {
				oldest = st.time
			}
			if v, ok := l.accept(st); ok {
				accepted = append(accepted, placed[T]{v, st.time, st.seq})
			}
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", l.stream, err)
		}
		if !whole {
			l.width = max(1, l.width/2)
		}
	}
	if looked > 0 {
		l.looked, l.oldest = l.looked+looked, oldest
	}
	slices.Reverse(accepted)
	l.before = from
	if most := limit - len(l.found); l.settle == nil && len(accepted) >= most {
		accepted = accepted[:most]
		l.before, l.oldest = accepted[most-1].seq, accepted[most-1].written
	}
	// It grows where little is left of what was written, or little is sought.
	if width := 2 * l.width; width <= denseWindow || uint64(looked) < l.width/4 {
		l.width = min(width, maxWindow)
	}
	if l.settle != nil && len(accepted) > 0 {
		var err error
		if accepted, err = l.settle(ctx, accepted); err != nil {
			return err
		}
	}
	l.found = append(l.found, accepted...)
	l.end()
	return nil
}

// firstSince is the sequence of the first message that was written at that time or
// later, or the one after last.
func (s *Store) firstSince(ctx context.Context, stream string, since time.Time, last uint64) (uint64, error) {
	found, _, err := s.getDirect(ctx, stream, 1, directGet{NextBy: ">", Batch: 1, StartTime: &since})
	if err != nil || len(found) == 0 {
		return last + 1, err
	}
	return found[0].seq, nil
}

// window reads what lies from one sequence up to another. whole is false if that was
// too much for one answer.
func (s *Store) window(ctx context.Context, stream string, from, before uint64) (some []stored, whole bool, err error) {
	batch := int(min(maxBatch, before-from))
	some, end, err := s.getDirect(ctx, stream, batch, directGet{NextBy: ">", Batch: batch, MaxBytes: maxLooked, Seq: from})
	if err != nil {
		return nil, false, err
	}
	left := end.Get("Nats-Num-Pending")
	whole = left == "" || left == "0" || len(some) == 0 || some[len(some)-1].seq+1 >= before
	return slices.DeleteFunc(some, func(st stored) bool { return st.seq >= before }), whole, nil
}

// bounds are the first and the last sequence of a stream; an empty one ends before
// it begins.
func (s *Store) bounds(ctx context.Context, stream string) (first, last uint64, err error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	info, err := s.js.Stream(ctx, stream)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: list %s: %w", millrace.ErrUnavailable, stream, err)
	}
	state := info.CachedInfo().State
	return max(1, state.FirstSeq), state.LastSeq, nil
}
