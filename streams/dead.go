package streams

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace"
)

// DeadQuery says which dead tasks are meant. An empty field matches any.
type DeadQuery struct {
	Queue string
	Kind  string
	// Error is a part of the error's text, whatever the case.
	Error string
	// Since and Until are about when the tasks died: at Since or later, and before Until.
	Since, Until time.Time
	// Limit is how many at most; 1,000 are the most that there can be.
	Limit int
	// Cursor is where the page before ended; empty for the first one.
	Cursor string
}

// MaxDead is how many dead tasks one call tells of, or brings back.
const MaxDead = 1000

// DeadEntry is a dead task as a list shows it: without its args and its stacks, which
// may be large.
type DeadEntry struct {
	ID, Kind, Queue string
	Error           string
	Attempts        int
	Redrives        int
	Tags            []string
	SubmittedAt     time.Time
	// DiedAt is when it came among the dead, by the broker's clock.
	DiedAt time.Time
}

// DeadPage is a part of a list of dead tasks.
type DeadPage struct {
	Tasks []DeadEntry
	// Next is the cursor of the next page, empty behind the last one.
	Next string
	// SearchedUntil is when the oldest task died that was looked at for this page; zero
	// if none was.
	SearchedUntil time.Time
}

// Dead returns the dead tasks that match, the one first that died last. A page may have
// fewer than asked for, even none, and not be the last: of a long list only so much is
// looked at for one page. Errors wrap [millrace.ErrInvalid], for a cursor that is none,
// or [millrace.ErrUnavailable].
func (s *Store) Dead(ctx context.Context, q DeadQuery) (DeadPage, error) {
	l, page, err := s.searchDead(ctx, q)
	if err != nil {
		return DeadPage{}, err
	}
	alive, err := s.alive(ctx, l.found)
	if err != nil {
		return DeadPage{}, err
	}
	for _, found := range l.found {
		if !alive[found.value.ID] {
			page.Tasks = append(page.Tasks, found.value)
		}
	}
	return *page, nil
}

// searchDead finds what matches, also tasks that have been brought back.
func (s *Store) searchDead(ctx context.Context, q DeadQuery) (*backwards[DeadEntry], *DeadPage, error) {
	l := &backwards[DeadEntry]{stream: deadStream}
	if q.Cursor != "" {
		before, err := strconv.ParseUint(q.Cursor, 36, 64)
		if err != nil || before == 0 {
			return nil, nil, fmt.Errorf("%w: the cursor is not of this list", millrace.ErrInvalid)
		}
		l.before = before
	}
	if err := l.open(ctx, s, q.Since, q.Until); err != nil {
		return nil, nil, err
	}
	l.accept = q.match
	if err := l.fill(ctx, s, min(max(q.Limit, 1), MaxDead)); err != nil {
		return nil, nil, err
	}
	page := &DeadPage{SearchedUntil: l.oldest}
	if !l.done() {
		page.Next = deadCursor(l.before)
	}
	return l, page, nil
}

// deadCursor is where a list goes on with what lies before a sequence.
func deadCursor(before uint64) string { return strconv.FormatUint(before, 36) }

// match reads a dead task, if it is one that is meant.
func (q DeadQuery) match(st stored) (DeadEntry, bool) {
	queue, kind, id, ok := parseDeadSubject(st.subject)
	switch {
	case !ok, q.Queue != "" && q.Queue != queue, q.Kind != "" && q.Kind != kind:
		return DeadEntry{}, false
	case !q.Since.IsZero() && st.time.Before(q.Since), !q.Until.IsZero() && !st.time.Before(q.Until):
		return DeadEntry{}, false
	}
	d, err := parseDead(st)
	if err != nil || !strings.Contains(strings.ToLower(d.Record.Error), strings.ToLower(q.Error)) {
		return DeadEntry{}, false
	}
	r := d.Record
	return DeadEntry{
		ID: id, Kind: kind, Queue: queue, Error: r.Error, Attempts: len(r.Attempts), Redrives: r.Redrives, Tags: r.Tags,
		SubmittedAt: r.SubmittedAt, DiedAt: st.time,
	}, true
}

// alive are those of some dead tasks whose record says something else: they were
// brought back by somebody who died before they were taken out here, or are about to be
// buried.
func (s *Store) alive(ctx context.Context, some []placed[DeadEntry]) (map[string]bool, error) {
	alive := map[string]bool{}
	for some := range slices.Chunk(some, maxBatch) {
		subjects := make([]string, len(some))
		for i, d := range some {
			subjects[i] = recordSubject(d.value.ID)
		}
		found, err := s.lastBy(ctx, bucketStream(resultsBucket), subjects...)
		if err != nil {
			return nil, err
		}
		for _, st := range found {
			if r, err := parseRecord(st); err == nil && r.State != millrace.Failed {
				alive[r.ID] = true
			}
		}
	}
	return alive, nil
}

// DeadTask is a dead task with all that is kept of it.
type DeadTask struct {
	Dead
	// DiedAt is when it came among the dead, by the broker's clock.
	DiedAt time.Time
	// ArgsGone means that it can be redriven with new args only.
	ArgsGone bool

	sequence uint64 // in DEAD
	subject  string
}

// DeadTask returns a dead task. [millrace.ErrNotFound] means that there is none of that
// id, or that it is not dead any more.
func (s *Store) DeadTask(ctx context.Context, id string) (DeadTask, error) {
	d, err := s.findDead(ctx, id)
	if err != nil {
		return DeadTask{}, err
	}
	alive, err := s.alive(ctx, []placed[DeadEntry]{{value: DeadEntry{ID: id}}})
	if err != nil {
		return DeadTask{}, err
	}
	if alive[id] {
		return DeadTask{}, fmt.Errorf("task %s among the dead: %w", id, millrace.ErrNotFound)
	}
	logged, err := s.loggedTask(ctx, s.lastBy, d.Record)
	if err != nil {
		return DeadTask{}, err
	}
	d.complete(logged)
	return *d, nil
}

// findDead finds what lies among the dead under an id.
func (s *Store) findDead(ctx context.Context, id string) (*DeadTask, error) {
	if err := millrace.ValidateID(id); err != nil {
		return nil, err
	}
	found, err := s.lastBy(ctx, deadStream, deadSubject("*", "*", id))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("task %s among the dead: %w", id, millrace.ErrNotFound)
	}
	return parseDead(found[len(found)-1])
}

// parseDead reads what lies among the dead. The subject is what it is filed under, so
// what that says goes.
func parseDead(st stored) (*DeadTask, error) {
	d := &DeadTask{DiedAt: st.time, sequence: st.seq, subject: st.subject}
	queue, kind, id, ok := parseDeadSubject(st.subject)
	if !ok {
		return nil, fmt.Errorf("the subject %q is no dead task's", st.subject)
	}
	if err := decode(st.data, &d.Dead); err != nil {
		return nil, fmt.Errorf("dead task %s: %w", id, err)
	}
	for _, t := range []struct{ queue, kind, id *string }{{&d.Task.Queue, &d.Task.Kind, &d.Task.ID}, {&d.Record.Queue, &d.Record.Kind, &d.Record.ID}} {
		*t.queue, *t.kind, *t.id = queue, kind, id
	}
	return d, nil
}

// complete takes over what the queue's log has of the task: it is what ran last, and it
// may be all that is left of the args.
func (d *DeadTask) complete(logged loggedTask) {
	if logged.ok && len(d.Body) == 0 && (logged.task.Redrives > d.Task.Redrives || d.Truncated || d.lost()) {
		d.Task, d.Truncated = logged.task, false
		return
	}
	d.ArgsGone = d.Truncated || d.lost()
}

// lost reports whether nothing was left of the task but its record when it died.
func (d *DeadTask) lost() bool {
	return d.Record.Error == errLost && len(bytes.TrimSpace(d.Task.Args)) == 0
}
