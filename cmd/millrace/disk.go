package main

import (
	"context"
	"fmt"
	"syscall"

	"millrace/embedded"
)

// diskUse says how much of a disk is taken, and how large it is.
type diskUse = func(context.Context) (used, size uint64, err error)

// disk is where the node keeps everything.
func (f nodeFlags) disk() (diskUse, error) {
	dir := f.DataDir
	if dir == "" {
		var err error
		if dir, err = embedded.DefaultDataDir(); err != nil {
			return nil, err
		}
	}
	return func(context.Context) (used, size uint64, err error) { return diskOf(dir) }, nil
}

// diskOf is how much of the file system that a directory is on is taken, of what we may
// have of it.
func diskOf(dir string) (used, size uint64, err error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	block := uint64(disk.Bsize)
	used = (disk.Blocks - disk.Bfree) * block
	return used, used + disk.Bavail*block, nil
}
