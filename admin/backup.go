package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jsm.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/streams"
)

// A backup is made while all goes on, and each stream is copied at another moment. What
// is restored must be as all was at one moment, the copy of the records:
//
//   - a task that was finished then is finished, and does not run again, also if its
//     record has expired by the time of the restore;
//   - a task that was accepted and not finished then is there, and runs;
//   - what a finished task has caused is there.
//
// A task, and whatever follows from one, goes from place to place, and is in the next one
// before it leaves the last. So the places are copied in the order in which it goes
// through them: what has left one by then is in the next one when that is copied. The
// circle, from the logs of the queues back to what waits, is cut at the logs: their
// consumers are put back to where they were before the copy began, but for what the
// records say is done (see rewind.go). What has left a log meanwhile is thus delivered
// again, which the engine can bear at any time.

// copiedIn is the order in which streams are copied, by the beginning of their names.
// What is not named here comes first.
var copiedIn = []string{recordsStream, "DEAD", "KV_orders", "HELD", "SCHEDULES_", logPrefix, "KV_unique"}

const (
	recordsStream = "KV_results"
	recordsPrefix = "$KV.results."
	logPrefix     = "TASKS_"
	ourConsumer   = "workers"
)

func inOrder(names []string) []string {
	rank := func(name string) int {
		return slices.IndexFunc(copiedIn, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	}
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	return names
}

// Backup copies every stream of ours into dir, with its consumers, reads the copy again,
// and returns what is in it. The directory must be empty, or not be there; it is only
// there when all of it is. Copied is told of each stream when it is copied, and may be nil.
func (b *Broker) Backup(ctx context.Context, dir string, copied func(stream string)) (Manifest, error) {
	if err := unused(dir); err != nil {
		return Manifest{}, err
	}
	if _, err := b.js.Stream(ctx, streams.RestoringStream); err == nil {
		return Manifest{}, streams.ErrRestoring
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	partial, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".partial-")
	if err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	m, err := b.copyTo(ctx, partial, copied)
	if err == nil {
		err = os.Rename(partial, dir)
	}
	if err != nil {
		return Manifest{}, errors.Join(err, os.RemoveAll(partial))
	}
	return m, flush(filepath.Dir(dir))
}

// unused reports whether a backup can be put there.
func unused(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("backup: %s is not empty: name a directory that is not there yet", dir)
	}
	return nil
}

func (b *Broker) copyTo(ctx context.Context, dir string, copied func(stream string)) (Manifest, error) {
	manager, err := jsm.New(b.nc, jsm.WithTimeout(copyWithin))
	if err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	names, plan, err := b.present(ctx)
	if err != nil {
		return Manifest{}, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(plan, func(p streams.Planned) bool {
			return p.Stream.Name == name && p.Stream.Storage == jetstream.MemoryStorage // out of date in a moment
		})
	})
	if !slices.Contains(names, recordsStream) {
		return Manifest{}, errors.New("backup: there is nothing of Millrace on this broker")
	}
	m := Manifest{Format: manifestFormat, Began: time.Now().UTC(), Server: b.nc.ConnectedServerVersion()}
	at, err := b.positions(ctx, names)
	if err != nil {
		return m, err
	}
	for _, name := range inOrder(names) {
		if err := snapshot(ctx, manager, name, filepath.Join(dir, name)); err != nil {
			return m, fmt.Errorf("backup: stream %s: %w", name, err)
		}
		if copied != nil {
			copied(name)
		}
		if name == recordsStream {
			if err := b.advance(ctx, at); err != nil {
				return m, err
			}
		}
	}
	if err := b.rewindAll(ctx, dir, at); err != nil {
		return m, err
	}
	for _, name := range inOrder(names) {
		c, err := inspect(dir, name)
		if err != nil {
			return m, fmt.Errorf("backup: %w", err)
		}
		m.Streams = append(m.Streams, c)
	}
	m.Ended = time.Now().UTC()
	return m, m.write(dir)
}

func snapshot(ctx context.Context, manager *jsm.Manager, name, dir string) error {
	stream, err := manager.LoadStream(name)
	if err != nil {
		return err
	}
	_, err = stream.SnapshotToDirectory(ctx, dir, jsm.SnapshotConsumers(), jsm.SnapshotHealthCheck())
	return err
}

// position is how far the consumer of a queue's log is: what was finished before the
// records were copied is after floor and not after delivered, or not after floor.
type position struct {
	floor, delivered uint64
}

// positions are those of the queues, by stream.
func (b *Broker) positions(ctx context.Context, names []string) (map[string]position, error) {
	at := map[string]position{}
	for _, name := range names {
		if !strings.HasPrefix(name, logPrefix) {
			continue
		}
		consumer, err := b.js.Consumer(ctx, name, ourConsumer)
		if missing(err) {
			continue // it is made anew by whoever needs it, as without a backup
		}
		if err != nil {
			return nil, fmt.Errorf("backup: consumer of %s: %w", name, err)
		}
		at[name] = position{floor: consumer.CachedInfo().AckFloor.Stream, delivered: consumer.CachedInfo().Delivered.Stream}
	}
	return at, nil
}

// advance notes what was delivered by now.
func (b *Broker) advance(ctx context.Context, at map[string]position) error {
	for name, p := range at {
		consumer, err := b.js.Consumer(ctx, name, ourConsumer)
		if err != nil {
			return fmt.Errorf("backup: consumer of %s: %w", name, err)
		}
		p.delivered = max(p.delivered, consumer.CachedInfo().Delivered.Stream)
		at[name] = p
	}
	return nil
}
