package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// LockedError says that another server has the data directory open: two on one store would destroy it.
type LockedError struct {
	Dir string // the data directory
	PID int    // the process that has it open; 0 if it could not be told
}

func (e *LockedError) Error() string {
	holder := "another process"
	if e.PID > 0 {
		holder = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("data directory %s is in use by %s: stop that one, or choose another --data-dir", e.Dir, holder)
}

// dirLock is a flock(2) on a file in the data directory. The kernel drops it with the process, however that died, so a file left
// behind never blocks a start. The file is never removed: a lock on a removed file would exclude nobody.
type dirLock struct {
	file *os.File
}

// lockDir takes the lock, or fails with *LockedError.
func lockDir(dir string, log *slog.Logger) (*dirLock, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data directory: %w", err)
	}
	if err := flock(file); err != nil {
		defer file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &LockedError{Dir: dir, PID: readPID(file)}
		}
		return nil, fmt.Errorf("lock the data directory %s: %w", dir, err)
	}
	// The pid is for people. A disk too full for it must not keep the operator from starting, to make room.
	if err := writePID(file); err != nil {
		log.Warn("could not write our process id to the lock", "file", file.Name(), "err", err)
	}
	return &dirLock{file: file}, nil
}

// release empties the file, so that nobody reads the pid of a process long gone, and lets go.
func (l *dirLock) release() error {
	return errors.Join(l.file.Truncate(0), l.file.Close())
}

func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// writePID overwrites before it truncates, so that a reader never finds the file empty once it held a pid.
func writePID(file *os.File) error {
	line := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := file.WriteAt([]byte(line), 0); err != nil {
		return err
	}
	return file.Truncate(int64(len(line)))
}

// readPID returns 0 when the holder has not written its pid yet, or could not.
func readPID(file *os.File) int {
	var buf [32]byte
	n, _ := file.ReadAt(buf[:], 0) // io.EOF is the rule here, and whatever else fails only costs the pid
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0
	}
	return pid
}
