package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"millrace/admin"
)

type backupCmd struct {
	placeFlags
	Dir string `arg:"" help:"Where the copy goes: a directory that is not there yet." type:"path"`
}

// Run copies everything, and reads the copy again.
func (c *backupCmd) Run(ctx context.Context, io stdio) error {
	if err := c.stored(); err != nil {
		return err
	}
	b, closes, err := c.open(ctx, true)
	if err != nil {
		return err
	}
	defer closes()
	m, err := b.Backup(ctx, c.Dir, nil)
	if err != nil {
		return err
	}
	for _, s := range m.Streams {
		io.copied(s)
	}
	_, err = fmt.Fprintf(io.out, "%s has %d streams as they were at %s. Keep it on another machine.\n", c.Dir, len(m.Streams), m.Began.Format(time.RFC3339))
	return err
}

// copied tells of a stream that is done.
func (io stdio) copied(s admin.Copied) {
	fmt.Fprintf(io.out, "%-20s %9d messages %9d KiB\n", s.Name, s.Messages, (s.Data.Bytes+1023)>>10)
}

type restoreCmd struct {
	placeFlags
	Dir     string `arg:"" help:"The backup." type:"path"`
	Replace bool   `help:"Delete what Millrace has on the broker, and put the backup in its place."`
	Yes     bool   `help:"Do not ask whether it may be deleted."`
}

// Run puts a backup back. Nothing is changed if it is not whole, or if the broker has
// something of Millrace and --replace is not given.
func (c *restoreCmd) Run(ctx context.Context, io stdio) error {
	// The backup first: a server makes the directory that it is given.
	m, err := admin.Verify(c.Dir)
	if err != nil {
		return err
	}
	if c.Replace && !c.Yes {
		if err := c.ask(io, m); err != nil {
			return err
		}
	}
	b, closes, err := c.open(ctx, false)
	if err != nil {
		return err
	}
	defer closes()
	_, err = b.Restore(ctx, c.Dir, c.Replace, io.copied)
	if errors.Is(err, admin.ErrNotEmpty) {
		return fmt.Errorf("%w (--replace deletes that first)", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.out, "All is as it was at %s. Start Millrace.\n", m.Began.Format(time.RFC3339))
	return err
}

// ask asks whether what is there may be deleted.
func (c *restoreCmd) ask(io stdio, m admin.Manifest) error {
	where := c.redacted()
	if c.DataDir != "" {
		where = c.DataDir
	}
	if in, is := io.in.(*os.File); !is || !term.IsTerminal(int(in.Fd())) {
		return errors.New("--replace asks before it deletes, and there is nobody to ask: say --yes too")
	}
	fmt.Fprintf(io.out, "Everything that Millrace has at %s is deleted, and replaced with what it was at %s. Type \"replace\" to go on: ", where, m.Began.Format(time.RFC3339))
	answer, _ := bufio.NewReader(io.in).ReadString('\n') // what was not typed is no consent
	if strings.TrimSpace(answer) != "replace" {
		return errors.New("nothing was changed")
	}
	return nil
}
