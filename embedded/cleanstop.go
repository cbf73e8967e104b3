package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// cleanName is the file that says that the last server of the data directory came to its end in order. A server remembers on disk what
// was delivered to whom, but writes that only some ten times a second, and when it stops: after a crash, tasks may look as if nobody
// had ever had them.
const cleanName = "clean"

// takeClean reports whether nothing can have been forgotten: the last server was shut down, or there was none. The mark is gone
// before a server starts, so that a crash finds none.
func takeClean(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, storeName)); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	err := os.Remove(filepath.Join(dir, cleanName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = flush(dir)
	}
	if err != nil {
		return false, fmt.Errorf("data directory %s: remove the mark of an orderly stop: %w", dir, err)
	}
	return true, nil
}

// putClean leaves the mark. All else is on disk by then.
func putClean(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, cleanName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), flush(dir))
}
