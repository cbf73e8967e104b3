// Command millrace is the whole of Millrace in one binary: the server in each of
// its roles, and the client verbs that talk to its API.
//
// Start reading at cli.go, the grammar of the command line; dev.go is the main job.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := interruptible(context.Background(), os.Stderr)
	defer stop()
	io := stdio{os.Stdin, os.Stdout, os.Stderr}
	os.Exit(exitCode(run(ctx, os.Args[1:], os.Environ(), io), os.Stderr))
}

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// The exit codes: what was asked for failed, or it was asked for wrongly.
const (
	exitFailed = 1
	exitUsage  = 2
	exitAtOnce = 130
)

func exitCode(err error, stderr io.Writer) int {
	var usage *kong.ParseError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "millrace: %s\nSee millrace --help.\n", err)
		return exitUsage
	case errors.Is(err, errReported):
	default:
		fmt.Fprintf(stderr, "millrace: %s\n", err)
	}
	return exitFailed
}

// errReported ends a command that has told the user itself.
var errReported = errors.New("failed")

// interruptible returns a context that ends at the first interrupt. A second one
// ends the process at once.
func interruptible(parent context.Context, stderr io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		fmt.Fprintln(stderr, "Stopping; once more to stop at once.")
		cancel()
		<-signals
		os.Exit(exitAtOnce)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}
