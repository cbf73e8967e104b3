package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"millrace"
	"millrace/otlp"
	"millrace/streams"
)

// Book is where the named schedules are written down. Any process may keep one; a
// [Scheduler] carries out what is in it.
type Book struct {
	store *streams.Store
	spans *otlp.Exporter // of what it fires, nil for none
}

// NewBook returns the book that the store keeps.
func NewBook(store *streams.Store) *Book { return &Book{store: store} }

// Entry is a schedule with what has become of it.
type Entry struct {
	millrace.Schedule
	// NextAt is when it is due next. It is zero when that is never again: see Finished.
	NextAt time.Time `json:"next_at,omitzero"`
	// LastAt is the due time that was dealt with last, and LastTask the task that was
	// submitted last, which may be of an earlier one.
	LastAt   time.Time `json:"last_at,omitzero"`
	LastTask string    `json:"last_task,omitzero"`
	// Skipped counts the due times that were left out, since the task before was not
	// finished.
	Skipped int `json:"skipped,omitzero"`
	// Runs are the due times that were dealt with last, the oldest first: [MaxRuns].
	Runs []Run `json:"runs,omitempty"`
	// PausedAt is since when it is paused. Zero means that it is not.
	PausedAt time.Time `json:"paused_at,omitzero"`
	// Declared is whether it is one of those that [Book.Reconcile] was given.
	Declared bool `json:"declared,omitzero"`

	// Generation tells this schedule from another one of its name.
	Generation string `json:"generation"`
	// Made is the id under which it was made, if it was by [Book.Create].
	Made     string `json:"made,omitzero"`
	revision uint64
}

// Finished reports whether the schedule is never due again.
func (e Entry) Finished() bool { return e.NextAt.IsZero() }

// Version changes whenever the entry does.
func (e Entry) Version() string { return strconv.FormatUint(e.revision, 10) }

// ErrChanged is for an entry that is not of the version that was asked for.
var ErrChanged = errors.New("the schedule has changed meanwhile: get it again, and decide anew")

// Put writes a schedule down, replacing the one of its name; whether that was paused,
// and what has become of it, stays. Tasks that it has submitted are not touched. Errors
// wrap [millrace.ErrInvalid], also when it is never due, or [millrace.ErrDeclared], or
// are those of the store.
func (b *Book) Put(ctx context.Context, s millrace.Schedule) (Entry, error) {
	for {
		e, err := b.Get(ctx, s.Name)
		if err != nil && !errors.Is(err, millrace.ErrNotFound) && !errors.Is(err, errUnreadable) {
			return Entry{}, err
		}
		if e.Declared {
			return Entry{}, declared(e)
		}
		e, err = b.replace(ctx, e, s)
		if !errors.Is(err, millrace.ErrConflict) {
			return e, err
		}
	}
}

// Create writes a schedule down if there is none of its name, else it returns
// [millrace.ErrConflict]. To do it again under the same id is to do it once. Other
// errors are those of [Book.Put].
func (b *Book) Create(ctx context.Context, s millrace.Schedule, id string) (Entry, error) {
	for {
		e, err := b.Get(ctx, s.Name)
		switch {
		case err == nil && e.Made == id:
			return e, b.arm(ctx, e)
		case err == nil, errors.Is(err, errUnreadable):
			return Entry{}, fmt.Errorf("schedule %s: %w: there is one of that name", s.Name, millrace.ErrConflict)
		case !errors.Is(err, millrace.ErrNotFound):
			return Entry{}, err
		}
		e.Made = id
		e, err = b.replace(ctx, e, s)
		if !errors.Is(err, millrace.ErrConflict) {
			return e, err
		}
	}
}

// Change lets change make another schedule of the one of that name, if that has the
// version still; empty and "*" stand for any. Errors are that of change, [ErrChanged],
// [millrace.ErrNotFound] and those of [Book.Put].
func (b *Book) Change(ctx context.Context, name, version string, change func(millrace.Schedule) (millrace.Schedule, error)) (Entry, error) {
	for {
		e, err := b.Get(ctx, name)
		switch {
		case err != nil:
			return Entry{}, err
		case version != "" && version != "*" && version != e.Version():
			return Entry{}, fmt.Errorf("schedule %s: %w", name, ErrChanged)
		case e.Declared:
			return Entry{}, declared(e)
		}
		s, err := change(e.Schedule)
		if err != nil {
			return Entry{}, err
		}
		e, err = b.replace(ctx, e, s)
		if !errors.Is(err, millrace.ErrConflict) {
			return e, err
		}
	}
}

func declared(e Entry) error { return fmt.Errorf("schedule %s: %w", e.Name, millrace.ErrDeclared) }

// Install writes a schedule down if there is none of its name. One that is there stays
// as it is, whoever wrote it. Errors are those of [Book.Put].
func (b *Book) Install(ctx context.Context, s millrace.Schedule) error {
	e, err := b.Get(ctx, s.Name)
	if err == nil || errors.Is(err, errUnreadable) {
		return nil
	}
	if errors.Is(err, millrace.ErrNotFound) {
		_, err = b.replace(ctx, e, s)
	}
	if errors.Is(err, millrace.ErrConflict) {
		return nil // somebody was faster
	}
	return err
}

// replace writes a schedule in the place of the one that was read, or of none. It
// returns [millrace.ErrConflict] if that has changed.
func (b *Book) replace(ctx context.Context, e Entry, s millrace.Schedule) (Entry, error) {
	s, err := s.Canonical()
	if err != nil {
		return Entry{}, err
	}
	recurrence, err := Parse(s)
	if err != nil {
		return Entry{}, err
	}
	if s.Queue != "" {
		if err := b.store.CheckQueue(s.Queue); err != nil {
			return Entry{}, err
		}
	}
	// What the due time that comes next stands for does not change, so it stays, also if
	// it has come already.
	if e.Finished() || !sameTasks(e.Schedule, s) {
		now, err := b.store.Now(ctx)
		if err != nil {
			return Entry{}, err
		}
		e.Generation = millrace.NewID()
		var ok bool
		e.NextAt, ok = recurrence.Next(now)
		switch {
		case ok && !recurrence.Moment(e.NextAt).After(streams.LastDue()):
		case e.Declared && !ok && !recurrence.never():
			e.NextAt = time.Time{} // a file outlives the times in it
		default:
			return Entry{}, fmt.Errorf("%w: the schedule is never due: its time has passed or is centuries away, or its days do not exist", millrace.ErrInvalid)
		}
	}
	e.Schedule = s
	if err := b.checkSize(e); err != nil {
		return Entry{}, err
	}
	if err := b.write(ctx, &e); err != nil {
		return Entry{}, err
	}
	// If we die here, or this fails, the scheduler finds the entry.
	return e, b.arm(ctx, e)
}

// sameTasks reports whether two schedules are due at the same times, and submit to the
// same place then: a task's id is of its time, and is taken once only in one place.
func sameTasks(a, b millrace.Schedule) bool {
	return a.Kind == b.Kind && a.Queue == b.Queue && a.Cron == b.Cron && a.Zone == b.Zone && a.Every == b.Every &&
		a.Jitter == b.Jitter && a.At.Equal(b.At) && a.Start.Equal(b.Start) && a.End.Equal(b.End)
}

// Get returns the schedule of that name, or [millrace.ErrNotFound].
func (b *Book) Get(ctx context.Context, name string) (Entry, error) {
	if err := millrace.ValidateScheduleName(name); err != nil {
		return Entry{}, err
	}
	value, revision, err := b.store.Schedules().Get(ctx, name)
	if err != nil {
		return Entry{revision: revision}, err
	}
	return parseEntry(name, value, revision)
}

// List returns every schedule, the one first that was changed longest ago. One that
// cannot be read is left out, and a [Scheduler] complains about it.
func (b *Book) List(ctx context.Context) ([]Entry, error) {
	all, _, err := b.list(ctx)
	return all, err
}

// Page returns up to limit schedules whose names come after a name, by name, and the name
// after which the next page goes on, empty behind the last one. One that cannot be read is
// left out.
func (b *Book) Page(ctx context.Context, after string, limit int) (page []Entry, next string, err error) {
	found, next, err := b.store.Schedules().Page(ctx, after, limit)
	if err != nil {
		return nil, "", err
	}
	for _, f := range found {
		if e, err := parseEntry(f.Key, f.Value, f.Revision); err == nil {
			page = append(page, e)
		}
	}
	return page, next, nil
}

func (b *Book) list(ctx context.Context) (all []Entry, unreadable, err error) {
	found, err := b.store.Schedules().List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range found {
		e, err := parseEntry(f.Key, f.Value, f.Revision)
		if err != nil {
			unreadable = errors.Join(unreadable, err)
			continue
		}
		all = append(all, e)
	}
	return all, unreadable, nil
}

// Cancel removes a schedule. What it has submitted goes on. It returns
// [millrace.ErrNotFound] if there is none of that name, or [millrace.ErrDeclared].
func (b *Book) Cancel(ctx context.Context, name string) error {
	return b.remove(ctx, name, func(e Entry) error {
		if e.Declared {
			return declared(e)
		}
		return nil
	})
}

// remove removes a schedule unless refuse has an error for it.
func (b *Book) remove(ctx context.Context, name string, refuse func(Entry) error) error {
	for {
		e, err := b.Get(ctx, name)
		if err != nil && !errors.Is(err, errUnreadable) {
			return err
		}
		if err := refuse(e); err != nil {
			return err
		}
		err = b.store.Schedules().Delete(ctx, name, e.revision)
		if err == nil {
			// What is left of it fires once more, finds no entry, and does nothing.
			return b.store.Disarm(ctx, name)
		}
		if !errors.Is(err, millrace.ErrConflict) {
			return err
		}
	}
}

// Run submits a task of the schedule now, besides those that are due, under that
// id, and returns it. [millrace.ErrConflict] means that the id is taken.
func (b *Book) Run(ctx context.Context, name, id string) (millrace.RawTask, error) {
	e, err := b.Get(ctx, name)
	if err != nil {
		return millrace.RawTask{}, err
	}
	t := e.task(id)
	if t.Queue == "" {
		t.Queue = b.store.Route(t.Kind)
	}
	err = b.store.Submit(ctx, t)
	if err != nil && !errors.Is(err, millrace.ErrConflict) {
		return t, err
	}
	// It is submitted, now or before, whether that can be noted or not.
	_ = b.noteTask(ctx, name, id, t.SubmittedAt)
	return t, err
}

func (e Entry) task(id string) millrace.RawTask {
	return millrace.RawTask{ID: id, Kind: e.Kind, Queue: e.Queue, Args: e.Args, Options: e.Options, SubmittedAt: time.Now().UTC()}
}

// errUnreadable is for an entry that somebody else wrote. It can be replaced and
// cancelled.
var errUnreadable = errors.New("the entry cannot be read")

func parseEntry(name string, value []byte, revision uint64) (Entry, error) {
	e := Entry{revision: revision}
	err := json.Unmarshal(value, &e)
	if err == nil && e.Name != name {
		err = fmt.Errorf("it is of the schedule %.64q", e.Name)
	}
	if err != nil {
		return Entry{revision: revision}, fmt.Errorf("schedule %s: %w: %w", name, errUnreadable, err)
	}
	return e, nil
}

// mayGrow is how much longer than its entry is at first an entry can get, by its runs
// most of all, or the task that is made of it.
const mayGrow = 512 + MaxRuns*160

func (b *Book) checkSize(e Entry) error {
	value, err := json.Marshal(e)
	if err == nil && len(value)+mayGrow > b.store.MaxValue() {
		return fmt.Errorf("%w: the schedule is larger than the broker takes", millrace.ErrInvalid)
	}
	return nil // what else is wrong, write says
}

func (b *Book) write(ctx context.Context, e *Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%w: schedule %s: %w", millrace.ErrInvalid, e.Name, err)
	}
	e.revision, err = b.store.Schedules().Put(ctx, e.Name, value, e.revision, 0)
	return err
}

// arm lets the entry fire when it is due. Somebody may have changed it since it was
// read, and have armed that before this. So whoever arms looks whether it was right to:
// then the last one to arm was.
func (b *Book) arm(ctx context.Context, e Entry) error {
	for !e.idle() { // what is armed still fires, and nothing comes of it
		if err := b.store.Arm(ctx, e.fires()); err != nil {
			return err
		}
		now, err := b.Get(ctx, e.Name)
		switch {
		case err != nil && !errors.Is(err, millrace.ErrNotFound):
			return err
		case now.revision <= e.revision: // a replica may be behind
			return nil
		case err != nil:
			return b.store.Disarm(ctx, e.Name)
		}
		e = now
	}
	return nil
}

// idle reports whether nothing is to be armed.
func (e Entry) idle() bool { return e.Finished() || !e.PausedAt.IsZero() }

// fires is the due time that comes next, and when that is to be dealt with.
func (e Entry) fires() streams.Fired {
	f := streams.Fired{Name: e.Name, Generation: e.Generation, Due: e.NextAt}
	if recurrence, err := Parse(e.Schedule); err == nil { // else firing says so
		f.At = recurrence.Moment(f.Due)
	}
	return f
}
