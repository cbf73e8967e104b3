// Command bench measures Millrace and prints its bars as a table: how many tasks
// it takes and finishes, how soon, in how much memory, and the same of a peer in
// the same run.
//
// Start reading at plan.go, which is the table that comes out, row by row; the rows
// are measured in submit.go, finish.go, drain.go, latency.go and node.go. What is
// measured are processes of their own (cmd/), which process.go starts. Packages:
// load sends the requests, workload is what they ask for, control is how the
// benchmark commands what it measures.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rounds     int
	quick      bool
	json       bool
	only       string
	configs    string
	profile    string
	profileDir string
	dir        string
	alone      time.Duration
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 5, "how often to measure everything; the table has the medians")
	f.BoolVar(&o.quick, "quick", false, "one short round, to see that the benchmark works; its figures mean nothing")
	f.BoolVar(&o.json, "json", false, "print JSON with every single figure, instead of the table")
	f.StringVar(&o.only, "only", "", "measurements, comma separated: "+strings.Join(names(measurements()), ", ")+" (default: all)")
	f.StringVar(&o.configs, "configs", "", "configurations, comma separated: "+strings.Join(names(configs()), ", ")+" (default: all)")
	f.StringVar(&o.profile, "profile", "", "measurement to take profiles of, in the first round: CPU, and the heap at its end")
	f.StringVar(&o.profileDir, "profile-dir", ".", "where the profiles go, as MEASUREMENT-CONFIGURATION.cpu.prof and .heap.prof")
	f.StringVar(&o.dir, "dir", "", "directory on the disk to measure (default: the system's for temporary files)")
	f.DurationVar(&o.alone, "alone", 0, "how long each run may wait, and be repeated, until it has the machine to itself")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.rounds < 1 {
		return o, errors.New("there are flags only, and at least one round")
	}
	if o.quick {
		o.rounds = 1
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, err := parse(args, stderr)
	if err != nil {
		return err
	}
	b := &bench{opts: opts, scale: full, progress: stderr}
	if opts.quick {
		b.scale = short
	}
	// What is started has a directory of its own.
	for _, dir := range []*string{&b.opts.dir, &b.opts.profileDir} {
		if *dir, err = filepath.Abs(cmp.Or(*dir, os.TempDir())); err != nil {
			return err
		}
	}
	if b.measurements, err = pick(measurements(), opts.only); err != nil {
		return err
	}
	if b.configs, err = pick(configs(), opts.configs); err != nil {
		return err
	}
	if _, err := pick(b.measurements, opts.profile); err != nil {
		return fmt.Errorf("-profile: %w", err)
	}
	began := time.Now()
	report, err := b.run(ctx)
	if err != nil {
		return err
	}
	report.Took = time.Since(began).Round(time.Second).String()
	report.conclude()
	if opts.json {
		err = report.writeJSON(stdout)
	} else {
		err = report.writeMarkdown(stdout)
	}
	return errors.Join(err, report.invalid())
}

// named is a part of the plan that a flag can name.
type named interface{ id() string }

func names[T named](all []T) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = x.id()
	}
	return out
}

// pick returns those of all that the list names, or all for an empty list.
func pick[T named](all []T, list string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	var out []T
	for name := range strings.SplitSeq(list, ",") {
		i := slices.Index(names(all), strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("there is no %q; there are %s", name, strings.Join(names(all), ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}
