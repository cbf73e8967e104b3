package admin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/jsm.go"
	"github.com/nats-io/jsm.go/backup"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/streams"
)

// ErrNotEmpty says that there is something on the broker that a restore would replace.
var ErrNotEmpty = errors.New("there is something of Millrace on this broker already")

// Restore puts the streams of a backup onto the broker, with their consumers. It changes
// nothing if the backup is not whole ([DamagedError]), if something is at work there, or
// if the broker has a stream of ours ([ErrNotEmpty]), unless replace is set: then all of
// those are deleted first. Until it is done, no process of Millrace starts there; when it
// dies on the way, do it again. Done is told of each stream, and may be nil.
func (b *Broker) Restore(ctx context.Context, dir string, replace bool, done func(Copied)) (Manifest, error) {
	m, err := Verify(dir)
	if err != nil {
		return m, err
	}
	if version := b.nc.ConnectedServerVersion(); older(version, "2.15.0") {
		return m, fmt.Errorf("restore: nats-server %s cannot read this backup, 2.15 and newer can; nothing was changed", version)
	}
	present, err := b.holds(ctx, m)
	if err != nil {
		return m, err
	}
	if len(present) > 0 && !replace {
		return m, fmt.Errorf("restore: %w (%s); nothing was changed", ErrNotEmpty, strings.Join(present, ", "))
	}
	if err := b.idle(ctx, present); err != nil {
		return m, err
	}
	return m, b.putBack(ctx, dir, m, present, done)
}

// holds are the streams on the broker that are ours, or that the backup has too.
func (b *Broker) holds(ctx context.Context, m Manifest) ([]string, error) {
	found, err := b.streamNames(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := b.cfg.Plan(found)
	if err != nil {
		return nil, err
	}
	ours := []string{streams.RestoringStream}
	for _, p := range plan {
		ours = append(ours, p.Stream.Name)
	}
	for _, s := range m.Streams {
		ours = append(ours, s.Name)
	}
	return slices.DeleteFunc(found, func(name string) bool { return !slices.Contains(ours, name) }), nil
}

// idle reports whether nobody takes tasks, or moves what is due. A gateway cannot be seen.
func (b *Broker) idle(ctx context.Context, present []string) error {
	for _, name := range present {
		for _, consumer := range []string{ourConsumer, "movers"} {
			c, err := b.js.Consumer(ctx, name, consumer)
			if missing(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("restore: consumer %s of %s: %w", consumer, name, err)
			}
			if c.CachedInfo().NumWaiting > 0 {
				return fmt.Errorf("restore: somebody works here (consumer %s of %s has requests standing): stop all processes of Millrace first; nothing was changed", consumer, name)
			}
		}
	}
	return nil
}

// putBack deletes what is present, and restores the streams of the backup. All that time,
// a stream says so.
func (b *Broker) putBack(ctx context.Context, dir string, m Manifest, present []string, done func(Copied)) error {
	manager, err := jsm.New(b.nc, jsm.WithTimeout(copyWithin))
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if _, err := b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streams.RestoringStream, Description: "a backup is being restored", Subjects: []string{"millrace.restoring"},
		Storage: jetstream.FileStorage, Replicas: max(1, b.cfg.Replicas),
	}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for _, name := range present {
		if name == streams.RestoringStream {
			continue
		}
		if err := b.js.DeleteStream(ctx, name); err != nil && !missing(err) {
			return unfinished(fmt.Errorf("delete stream %s: %w", name, err))
		}
	}
	for _, s := range m.Streams {
		if err := b.restore(ctx, manager, dir, s); err != nil {
			return unfinished(fmt.Errorf("stream %s: %w", s.Name, err))
		}
		if done != nil {
			done(s)
		}
	}
	if err := b.js.DeleteStream(ctx, streams.RestoringStream); err != nil {
		return unfinished(err)
	}
	return nil
}

func unfinished(err error) error {
	return fmt.Errorf("the restore was not finished, and no process of Millrace starts here until it is (--replace begins anew): %w", err)
}

// restore puts a stream back, and compares it with the copy. What has expired since is
// left out.
func (b *Broker) restore(ctx context.Context, manager *jsm.Manager, dir string, s Copied) error {
	seen, err := backup.Info(filepath.Join(dir, s.Name))
	if err != nil {
		return err
	}
	seen.Config.Replicas = max(1, b.cfg.Replicas)
	_, state, err := manager.RestoreSnapshotFromDirectory(ctx, s.Name, filepath.Join(dir, s.Name), jsm.RestoreConfiguration(seen.Config))
	if err != nil {
		return err
	}
	if state.LastSeq != s.LastSeq || state.Msgs > s.Messages {
		return fmt.Errorf("it has %d messages up to %d, and the copy %d up to %d", state.Msgs, state.LastSeq, s.Messages, s.LastSeq)
	}
	return nil
}
