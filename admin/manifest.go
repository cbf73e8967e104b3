package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jsm.go"
	"github.com/nats-io/jsm.go/backup"
)

// Manifest says what is in a backup. It is written last: a directory without one is no
// backup.
type Manifest struct {
	Format  int       `json:"format"`
	Began   time.Time `json:"began"` // what was done before is in it, and what was accepted
	Ended   time.Time `json:"ended"`
	Server  string    `json:"server"` // the version of the NATS server
	Streams []Copied  `json:"streams"`
}

// Copied is a stream in a backup.
type Copied struct {
	Name      string `json:"name"`
	Messages  uint64 `json:"messages"`
	Consumers int    `json:"consumers"`
	LastSeq   uint64 `json:"last_seq"`
	Data      file   `json:"data"`
	Meta      file   `json:"meta"`
}

type file struct {
	Name   string `json:"name"` // below the directory of the backup
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

const (
	manifestName   = "manifest.json"
	manifestFormat = 1
)

// DamagedError says that a backup cannot be restored.
type DamagedError struct {
	Dir, What string
}

// Error says what is wrong with it.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is no whole backup: %s; nothing was changed", e.Dir, e.What)
}

// Verify reads a backup wholly, and returns what is in it, or a [DamagedError].
func Verify(dir string) (Manifest, error) {
	var m Manifest
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, &DamagedError{dir, "there is no " + manifestName + " in it"}
	}
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, &DamagedError{dir, manifestName + ": " + err.Error()}
	}
	if m.Format != manifestFormat || len(m.Streams) == 0 {
		return m, &DamagedError{dir, fmt.Sprintf("%s has the format %d with %d streams, and not the format %d", manifestName, m.Format, len(m.Streams), manifestFormat)}
	}
	for _, s := range m.Streams {
		found, err := inspect(dir, s.Name)
		if err != nil {
			return m, &DamagedError{dir, err.Error()}
		}
		if found != s {
			return m, &DamagedError{dir, fmt.Sprintf("stream %s is not what %s says: %+v, and not %+v", s.Name, manifestName, found, s)}
		}
	}
	return m, nil
}

// inspect reads the copy of a stream from its beginning to its end.
func inspect(dir, stream string) (Copied, error) {
	if !jsm.IsValidName(stream) || filepath.Base(stream) != stream {
		return Copied{}, fmt.Errorf("a stream cannot be called %q", stream)
	}
	path := filepath.Join(dir, stream)
	seen, err := backup.Info(path)
	if err != nil {
		return Copied{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	c := Copied{Name: stream, Messages: seen.Messages, Consumers: len(seen.Consumers), LastSeq: seen.Declared.LastSeq}
	if seen.Config.Name != stream {
		return c, fmt.Errorf("stream %s: it is a copy of %s", stream, seen.Config.Name)
	}
	if c.Data, err = checksum(dir, filepath.Join(stream, backup.DataFile)); err != nil {
		return c, err
	}
	c.Meta, err = checksum(dir, filepath.Join(stream, backup.MetaFile))
	return c, err
}

func checksum(dir, name string) (file, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return file{}, fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, f)
	if err != nil {
		return file{}, fmt.Errorf("backup: %w", err)
	}
	return file{filepath.ToSlash(name), n, hex.EncodeToString(hash.Sum(nil))}, nil
}

// write brings the manifest to disk, after all that it speaks of.
func (m Manifest) write(dir string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	for _, s := range m.Streams {
		for _, f := range []string{s.Data.Name, s.Meta.Name, s.Name} {
			if err := flush(filepath.Join(dir, f)); err != nil {
				return err
			}
		}
	}
	path := filepath.Join(dir, manifestName)
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return errors.Join(flush(path), flush(dir))
}

func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}
