package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// checkRecovered fails if the disk holds a stream with messages, or a durable consumer with progress, that the server did not take
// up. The server logs a warning and starts without them. For us that would be a loss in silence: whoever sets up the topology next
// would find the stream missing and begin an empty one, or begin the consumer anew and run finished tasks once more.
func checkRecovered(srv *server.Server) error {
	account, err := srv.JszAccount(&server.JSzOptions{Account: server.DEFAULT_GLOBAL_ACCOUNT, Streams: true, Consumer: true})
	if err != nil {
		return fmt.Errorf("list what was recovered: %w", err)
	}
	known := make(map[string]bool)
	for _, stream := range account.Streams {
		known[stream.Name] = true
		for _, consumer := range stream.Consumer {
			known[filepath.Join(stream.Name, consumer.Name)] = true
		}
	}

	streams := filepath.Join(srv.StoreDir(), server.DEFAULT_GLOBAL_ACCOUNT, "streams")
	names, err := subdirs(streams)
	errs := []error{err}
	for _, stream := range names {
		dir := filepath.Join(streams, stream)
		if known[stream] {
			errs = append(errs, checkConsumers(dir, stream, known))
		} else if holdsMessages(dir) {
			errs = append(errs, fmt.Errorf("stream %s could not be read (the warnings in the log say why): restore %s "+
				"from a backup, or move it away to go on without its messages", stream, dir))
		}
	}
	return errors.Join(errs...)
}

func checkConsumers(streamDir, stream string, known map[string]bool) error {
	names, err := subdirs(filepath.Join(streamDir, "obs"))
	errs := []error{err}
	for _, consumer := range names {
		dir := filepath.Join(streamDir, "obs", consumer)
		if !known[filepath.Join(stream, consumer)] && holdsProgress(dir) {
			errs = append(errs, fmt.Errorf("consumer %s of stream %s could not be read (the warnings in the log say why): "+
				"restore %s from a backup, or move it away to have the stream delivered from its start", consumer, stream, dir))
		}
	}
	return errors.Join(errs...)
}

// subdirs names the streams of an account, or the consumers of a stream. A leading dot marks what is being deleted.
func subdirs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// holdsMessages is false for a stream whose creation or deletion was cut short: one has no block yet, the other no metafile any more.
// What cannot be looked at counts as held.
func holdsMessages(stream string) bool {
	if missing(filepath.Join(stream, server.JetStreamMetaFile)) {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(stream, "msgs"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), ".blk") })
}

// holdsProgress is false for an ephemeral consumer, which may have expired while we look, and for one whose creation or deletion was
// cut short, which lacks a file. What cannot be looked at counts as held.
func holdsProgress(consumer string) bool {
	for _, name := range []string{server.JetStreamMetaFile, server.JetStreamMetaFileSum, "o.dat"} {
		if missing(filepath.Join(consumer, name)) {
			return false
		}
	}
	meta, err := os.ReadFile(filepath.Join(consumer, server.JetStreamMetaFile))
	if err != nil {
		return true
	}
	var cfg struct {
		Durable string `json:"durable_name"`
	}
	return json.Unmarshal(meta, &cfg) != nil || cfg.Durable != ""
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}
