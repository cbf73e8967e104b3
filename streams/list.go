package streams

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace"
)

// ListQuery says which tasks to list. An empty field matches any.
type ListQuery struct {
	State millrace.State
	Queue string
	Kind  string
	Tag   string
	// Error is a part of the error's text, whatever the case.
	Error string
	// Text is a part of the id, the kind, a tag, the error, the args or the result,
	// whatever the case. Args and results are searched as the JSON that they are.
	Text string
	// Since and Until are about when the tasks last changed: at Since or later, and
	// before Until.
	Since, Until time.Time
	// Limit is how many at most; 500 are the most that there can be.
	Limit int
	// Cursor is where the page before ended; empty for the first one.
	Cursor string
}

// Listed is a task as a list shows it: without its args, its result and its attempts,
// which may be large.
type Listed struct {
	ID, Kind, Queue string
	State           millrace.State
	// Tried is how many attempts it has had.
	Tried int
	Error string
	// HeldBy is the limit that a pending task waits for.
	HeldBy string
	Tags   []string
	// ChangedAt is when something was last written of it, by the broker's clock: it was
	// submitted, put off, began to tell of its progress, or ended.
	ChangedAt                                  time.Time
	SubmittedAt, NextAt, FinishedAt, ExpiresAt time.Time
}

// ListPage is a part of a list of tasks.
type ListPage struct {
	Tasks []Listed
	// Next is the cursor of the next page, empty behind the last one.
	Next string
	// Looked is how many entries were looked at for this page. Of what changed before
	// SearchedUntil not all was; it is zero on the last page.
	Looked        int
	SearchedUntil time.Time
	// ArgsGone is how many finished tasks were searched for a text without their args,
	// which their queue's log does not have any more.
	ArgsGone int
}

// List returns the tasks that match, whatever their state, the one first that changed
// last. A page may have fewer than asked for, even none, and not be the last: of a long
// list only so much is looked at for one page. What is nowhere any more, since its
// record has expired, is not found. A task that changes between two pages may be missing from
// both, or in both. Errors wrap [millrace.ErrInvalid], for a cursor that is none, or
// [millrace.ErrUnavailable].
func (s *Store) List(ctx context.Context, q ListQuery) (ListPage, error) {
	q.Limit = min(max(q.Limit, 1), maxBatch)
	search := &search{store: s, ListQuery: q, until: time.Now().Add(listTime)}
	if err := search.open(ctx); err != nil {
		return ListPage{}, err
	}
	return search.page(ctx)
}

// search goes through all places in which tasks are, at the same time: it takes the
// newest one of what was found, and reads on where it is not sure that there is none
// that is newer. So no more is read than what is needed.
type search struct {
	ListQuery
	store  *Store
	until  time.Time
	places []*backwards[Listed]

	argsGone int
}

// open finds where to begin.
func (f *search) open(ctx context.Context) error {
	cursor, err := parseListCursor(f.Cursor)
	if err != nil {
		return err
	}
	if f.places, err = f.where(ctx); err != nil {
		return err
	}
	errs := make([]error, len(f.places))
	var opening sync.WaitGroup
	for i, l := range f.places {
		before, there := cursor[l.stream]
		if l.before = before; f.Cursor != "" && !there {
			l.before = 1 // it was read to its end
			continue
		}
		opening.Go(func() {
			if errs[i] = l.open(ctx, f.store, f.Since, f.Until); errs[i] == nil && !l.done() {
				errs[i] = l.read(ctx, f.store, f.Limit)
			}
		})
	}
	opening.Wait()
	return errors.Join(errs...)
}

// where are the places in which there may be such tasks.
func (f *search) where(ctx context.Context) ([]*backwards[Listed], error) {
	places := []*backwards[Listed]{f.records()}
	if f.finds(millrace.Scheduled) {
		for shard := range scheduleStreams {
			moved, err := f.store.movedUpTo(ctx, shard)
			if err != nil {
				return nil, err
			}
			places = append(places, f.waiting(shard, moved))
		}
	}
	if f.finds(millrace.Pending) {
		places = append(places, f.held())
	}
	if !f.finds(millrace.Pending) && !f.finds(millrace.Running) {
		return places, nil
	}
	for _, queue := range f.store.Queues() {
		if f.Queue != "" && f.Queue != queue {
			continue
		}
		workers, err := f.store.workersOf(ctx, queue)
		if err != nil {
			return nil, err
		}
		places = append(places, f.log(queue, workers.AckFloor.Stream, workers.Delivered.Stream))
	}
	return places, nil
}

func (f *search) finds(state millrace.State) bool { return f.State == "" || f.State == state }

// page takes what was found.
func (f *search) page(ctx context.Context) (ListPage, error) {
	var page ListPage
	seen := map[string]bool{} // a task that changes meanwhile can be in two places
	for len(page.Tasks) < f.Limit {
		newest := slices.MaxFunc(f.places, func(a, b *backwards[Listed]) int {
			return cmp.Or(a.upTo().Compare(b.upTo()), len(a.found)-len(b.found))
		})
		if len(newest.found) > 0 {
			if t := newest.found[0].value; !seen[t.ID] {
				seen[t.ID] = true
				page.Tasks = append(page.Tasks, t)
			}
			newest.found = newest.found[1:]
			continue
		}
		// Each place was read once. So if time is up now, the next page has less to do.
		if newest.done() || !time.Now().Before(f.until) {
			break
		}
		if err := newest.read(ctx, f.store, f.Limit); err != nil {
			return ListPage{}, err
		}
	}
	for _, l := range f.places {
		page.Looked += l.looked
		if at := l.upTo(); at.After(page.SearchedUntil) {
			page.SearchedUntil = at
		}
	}
	if now := time.Now(); page.SearchedUntil.After(now) {
		page.SearchedUntil = now
	}
	if page.Next, page.ArgsGone = listCursor(f.places), f.argsGone; page.Next == "" {
		page.SearchedUntil = time.Time{}
	}
	return page, nil
}

// records are the tasks that have one.
func (f *search) records() *backwards[Listed] {
	// To look for these words is so much faster than to read the record.
	var words [][]byte
	for name, value := range map[string]string{"state": string(f.State), "kind": f.Kind, "queue": f.Queue} {
		if value != "" {
			words = append(words, fmt.Appendf(nil, "%q:%q", name, value))
		}
	}
	l := &backwards[Listed]{stream: bucketStream(resultsBucket)}
	unsure := map[string]bool{}
	l.accept = func(st stored) (Listed, bool) {
		for _, word := range words {
			if !bytes.Contains(st.data, word) {
				return Listed{}, false
			}
		}
		r, err := parseRecord(st)
		if err != nil || r.State.Final() && !r.ExpiresAt.IsZero() && !time.Now().Before(r.ExpiresAt) {
			return Listed{}, false
		}
		t := listed(*r, st.time)
		if !f.matches(t) {
			return Listed{}, false
		}
		switch {
		case r.Replacement != nil: // what its queue's log has is not what runs
			return t, f.says(t, r.Replacement.Args) || f.says(t, r.Result)
		case !f.says(t, r.Result):
			unsure[t.ID] = true
		}
		return t, true
	}
	if f.Text != "" {
		l.settle = func(ctx context.Context, some []placed[Listed]) ([]placed[Listed], error) {
			defer clear(unsure)
			return f.withText(ctx, some, unsure)
		}
	}
	return l
}

// waiting are the tasks in a shard of what waits for its time. Those that have been in
// their queue's log have a record, and what was moved up to a sequence is in its log.
func (f *search) waiting(shard int, moved uint64) *backwards[Listed] {
	return &backwards[Listed]{stream: scheduleStream(shard), settle: f.elsewhere, accept: func(st stored) (Listed, bool) {
		var w waiting
		if err := decode(st.data, &w); err != nil || w.Sequence != 0 || !w.liesAs(st, moved) {
			return Listed{}, false
		}
		t := listed(w.record(), st.time)
		return t, f.matches(t) && f.says(t, w.Task.Args)
	}}
}

// liesAs reports whether it is this message that says that the task waits.
func (w waiting) liesAs(st stored, moved uint64) bool {
	switch id := w.Task.ID; st.subject {
	case waitingSubject(id, ceilSecond(w.Due)), timerSubject(id):
		return true
	case dueSubject(id):
		return st.seq > moved
	default:
		return false
	}
}

// log are the tasks in a queue's log that its workers are not done with.
func (f *search) log(queue string, done, delivered uint64) *backwards[Listed] {
	return &backwards[Listed]{stream: taskStream(queue), from: done + 1, settle: f.unrecorded, accept: func(st stored) (Listed, bool) {
		task, malformed := parseTask(st.subject, st.data)
		r := millrace.Record{
			ID: task.ID, Kind: task.Kind, Queue: queue, State: millrace.Running, Tags: task.Tags, SubmittedAt: task.SubmittedAt,
		}
		if st.seq > delivered {
			r.State = millrace.Pending
		}
		if malformed != nil || r.SubmittedAt.IsZero() {
			r.SubmittedAt = st.time
		}
		t := listed(r, st.time)
		return t, r.ID != "" && f.matches(t) && f.says(t, task.Args)
	}}
}

// held are the tasks that wait for a limit, and have never been in a log.
func (f *search) held() *backwards[Listed] {
	return &backwards[Listed]{stream: heldStream, settle: f.lastInLine, accept: func(st stored) (Listed, bool) {
		p, ok := parsePlace(st)
		if !ok || p.Sequence != 0 {
			return Listed{}, false
		}
		t := listed(p.record(), st.time)
		return t, f.matches(t) && f.says(t, p.Task.Args)
	}}
}

func listed(r millrace.Record, at time.Time) Listed {
	return Listed{
		ID: r.ID, Kind: r.Kind, Queue: r.Queue, State: r.State, Tried: len(r.Attempts), Error: r.Error, HeldBy: r.HeldBy, Tags: r.Tags,
		ChangedAt: at, SubmittedAt: r.SubmittedAt, NextAt: r.NextAt, FinishedAt: r.FinishedAt, ExpiresAt: r.ExpiresAt,
	}
}

// matches is about all but the text.
func (f *search) matches(t Listed) bool {
	return f.finds(t.State) && (f.Queue == "" || f.Queue == t.Queue) && (f.Kind == "" || f.Kind == t.Kind) &&
		(f.Tag == "" || slices.Contains(t.Tags, f.Tag)) && contains(t.Error, f.Error) &&
		!t.ChangedAt.Before(f.Since) && (f.Until.IsZero() || t.ChangedAt.Before(f.Until))
}

// says reports whether the text is in a task, or in what belongs to it.
func (f *search) says(t Listed, body []byte) bool {
	return contains(t.ID, f.Text) || contains(t.Kind, f.Text) || contains(t.Error, f.Text) ||
		slices.ContainsFunc(t.Tags, func(tag string) bool { return contains(tag, f.Text) }) || contains(string(body), f.Text)
}

func contains(text, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// withText leaves out those that are unsure and do not have the text in their args
// either, which are in their queue's log.
func (f *search) withText(ctx context.Context, some []placed[Listed], unsure map[string]bool) ([]placed[Listed], error) {
	asked := slices.DeleteFunc(slices.Clone(some), func(p placed[Listed]) bool { return !unsure[p.value.ID] })
	logged, err := f.logged(ctx, asked)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(some, func(p placed[Listed]) bool {
		if !unsure[p.value.ID] {
			return false
		}
		st, there := logged[p.value.ID]
		if !there {
			f.argsGone++
			return true
		}
		task, err := parseTask(st.subject, st.data)
		return err != nil || !contains(string(task.Args), f.Text)
	}), nil
}

// logged are the messages in the queues' logs of some tasks, by their ids.
func (f *search) logged(ctx context.Context, some []placed[Listed]) (map[string]stored, error) {
	byQueue := map[string][]string{}
	for _, p := range some {
		byQueue[p.value.Queue] = append(byQueue[p.value.Queue], taskSubject(p.value.Queue, p.value.Kind, p.value.ID))
	}
	all := map[string]stored{}
	for queue, subjects := range byQueue {
		if !slices.Contains(f.store.Queues(), queue) {
			continue // it was removed
		}
		found, err := f.store.lastByAll(ctx, taskStream(queue), subjects)
		if err != nil {
			return nil, err
		}
		for _, st := range found {
			if _, _, id, ok := parseTaskSubject(st.subject); ok {
				all[id] = st
			}
		}
	}
	return all, nil
}

// unrecorded leaves out the tasks that have a record: they are listed as that.
func (f *search) unrecorded(ctx context.Context, some []placed[Listed]) ([]placed[Listed], error) {
	subjects := make([]string, len(some))
	for i, p := range some {
		subjects[i] = recordSubject(p.value.ID)
	}
	found, err := f.store.lastByAll(ctx, bucketStream(resultsBucket), subjects)
	if err != nil {
		return nil, err
	}
	recorded := map[string]bool{}
	for _, st := range found {
		recorded[st.subject] = true
	}
	return slices.DeleteFunc(some, func(p placed[Listed]) bool { return recorded[recordSubject(p.value.ID)] }), nil
}

// elsewhere leaves out the tasks that have a record, or are in a log.
func (f *search) elsewhere(ctx context.Context, some []placed[Listed]) ([]placed[Listed], error) {
	some, err := f.unrecorded(ctx, some)
	if err != nil || len(some) == 0 {
		return some, err
	}
	logged, err := f.logged(ctx, some)
	return slices.DeleteFunc(some, func(p placed[Listed]) bool { _, there := logged[p.value.ID]; return there }), err
}

// lastInLine leaves out the tasks that are past all lines, and the places in lines that
// a task has come past.
func (f *search) lastInLine(ctx context.Context, some []placed[Listed]) ([]placed[Listed], error) {
	some, err := f.elsewhere(ctx, some)
	if err != nil || len(some) == 0 {
		return some, err
	}
	filters := make([]string, len(some))
	for i, p := range some {
		filters[i] = heldSubject("*", p.value.ID)
	}
	found, err := f.store.lastByAll(ctx, heldStream, filters)
	if err != nil {
		return nil, err
	}
	last := map[string]uint64{}
	for _, st := range found {
		if p, ok := parsePlace(st); ok {
			last[p.Task.ID] = max(last[p.Task.ID], p.seq)
		}
	}
	return slices.DeleteFunc(some, func(p placed[Listed]) bool { return last[p.value.ID] != p.seq }), nil
}

// A cursor says where to go on in each place that was not read to its end.
func listCursor(places []*backwards[Listed]) string {
	var parts []string
	for _, l := range places {
		before := l.before
		if len(l.found) > 0 {
			before = l.found[0].seq + 1
		}
		if before > 1 {
			parts = append(parts, l.stream+"."+strconv.FormatUint(before, 36))
		}
	}
	return strings.Join(parts, "~")
}

func parseListCursor(cursor string) (map[string]uint64, error) {
	places := map[string]uint64{}
	if cursor == "" {
		return places, nil
	}
	for part := range strings.SplitSeq(cursor, "~") {
		stream, at, _ := strings.Cut(part, ".")
		before, err := strconv.ParseUint(at, 36, 64)
		if err != nil || before < 2 || stream == "" {
			return nil, fmt.Errorf("%w: the cursor is not of this list", millrace.ErrInvalid)
		}
		places[stream] = before
	}
	return places, nil
}
