package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

const (
	lockName  = "lock"
	storeName = "jetstream"
)

// prepareDir makes dir a private directory that we may use, or says why it cannot be.
func prepareDir(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return fmt.Errorf("data directory %s: it or a parent of it is a file: choose another --data-dir", dir)
		}
		return fmt.Errorf("create the data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the data directory: %w", err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return tighten(dir, info.Mode(), log)
}

// tighten takes a directory away from other users, unless it is not ours to take.
func tighten(dir string, mode fs.FileMode, log *slog.Logger) error {
	ours, foreign, err := contents(dir)
	if err != nil {
		return fmt.Errorf("read the data directory: %w", err)
	}
	if foreign && !ours {
		return fmt.Errorf("data directory %s: other users may enter it (%v) and it holds other files: "+
			"choose an empty --data-dir, such as %s", dir, mode, filepath.Join(dir, "millrace-data"))
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("data directory %s: other users may enter it (%v) and it cannot be made private: "+
			"chmod it to 700, or choose a directory inside it: %w", dir, mode, err)
	}
	if ours {
		log.Warn("other users could enter the data directory: tightened to 0700", "dir", dir, "mode", mode)
	}
	return nil
}

// contents tells whether we used the directory before, and whether it holds anything that is not from us.
func contents(dir string) (ours, foreign bool, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		switch e.Name() {
		case lockName, storeName, cleanName:
			ours = true
		case "lost+found": // every fresh ext4 volume has one
		default:
			foreign = true
		}
	}
	return ours, foreign, err
}
