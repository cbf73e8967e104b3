package embedded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// flushTree forces all below dir to disk. A server that syncs in the background writes, but does not sync, what it has left when it
// stops, so without this a power cut soon after a clean stop would lose the last interval.
func flushTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = flush(path)
		}
		// The server deletes old streams in the background.
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func flush(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
