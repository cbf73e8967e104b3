package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"millrace"
	"millrace/streams"
)

// Book is where the named schedules are written down. Any process may keep one; a
// [Scheduler] carries out what is in it.
type Book struct{ store *streams.Store }

// NewBook returns the book that the store keeps.
func NewBook(store *streams.Store) *Book { return &Book{store} }

// Entry is a schedule with what has become of it.
type Entry struct {
	millrace.Schedule
	// NextAt is when it is due next.
	NextAt time.Time `json:"next_at,omitzero"`
	// LastAt is the due time that was dealt with last, and LastTask the task that was
	// submitted last, which may be of an earlier one.
	LastAt   time.Time `json:"last_at,omitzero"`
	LastTask string    `json:"last_task,omitzero"`
	// Skipped counts the due times that were left out, since the task before was not
	// finished.
	Skipped int `json:"skipped,omitzero"`

	// Generation tells this schedule from another one of its name.
	Generation string `json:"generation"`
	revision   uint64
}

// Put writes a schedule down, replacing the one of its name. Tasks that this one
// has submitted are not touched. Errors wrap [millrace.ErrInvalid], also when it is
// never due, or are those of the store.
func (b *Book) Put(ctx context.Context, s millrace.Schedule) (Entry, error) {
	recurrence, err := Parse(s)
	if err != nil {
		return Entry{}, err
	}
	if s.Queue != "" {
		if err := b.store.CheckQueue(s.Queue); err != nil {
			return Entry{}, err
		}
	}
	for {
		e, err := b.Get(ctx, s.Name)
		if err != nil && !errors.Is(err, millrace.ErrNotFound) {
			return Entry{}, err
		}
		e.Schedule, e.Generation = s, millrace.NewID()
		var ok bool
		if e.NextAt, ok = recurrence.Next(time.Now()); !ok {
			return Entry{}, fmt.Errorf("%w: the schedule is never due: its time has passed, or its days do not exist", millrace.ErrInvalid)
		}
		err = b.write(ctx, &e)
		if err == nil {
			// If we die here, or this fails, the scheduler finds the entry.
			return e, b.arm(ctx, e)
		}
		if !errors.Is(err, millrace.ErrConflict) {
			return Entry{}, err
		}
	}
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
	return parseEntry(value, revision)
}

// List returns every schedule, the one first that was changed longest ago.
func (b *Book) List(ctx context.Context) ([]Entry, error) {
	found, err := b.store.Schedules().List(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Entry, len(found))
	for i, f := range found {
		if all[i], err = parseEntry(f.Value, f.Revision); err != nil {
			return nil, fmt.Errorf("schedule %s: %w", f.Key, err)
		}
	}
	return all, nil
}

// Cancel removes a schedule. What it has submitted goes on. It returns
// [millrace.ErrNotFound] if there is none of that name.
func (b *Book) Cancel(ctx context.Context, name string) error {
	for {
		e, err := b.Get(ctx, name)
		if err != nil {
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
	return t, b.store.Submit(ctx, t)
}

func (e Entry) task(id string) millrace.RawTask {
	return millrace.RawTask{ID: id, Kind: e.Kind, Queue: e.Queue, Args: e.Args, Options: e.Options, SubmittedAt: time.Now().UTC()}
}

func parseEntry(value []byte, revision uint64) (Entry, error) {
	e := Entry{revision: revision}
	err := json.Unmarshal(value, &e)
	return e, err
}

func (b *Book) write(ctx context.Context, e *Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%w: schedule %s: %w", millrace.ErrInvalid, e.Name, err)
	}
	e.revision, err = b.store.Schedules().Put(ctx, e.Name, value, e.revision, 0)
	return err
}

func (b *Book) arm(ctx context.Context, e Entry) error {
	return b.store.Arm(ctx, streams.Fired{Name: e.Name, Generation: e.Generation, Due: e.NextAt})
}
