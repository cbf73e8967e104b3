package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one run of the benchmark.
type bench struct {
	opts         options
	scale        scale
	measurements []measurement
	configs      []config
	progress     io.Writer

	dir      string // for everything that is built and stored
	bin      string
	versions map[string]string // by configuration
	// While a measurement runs: what its profiles' names begin with, or "".
	profile string
}

// limit is how long a measurement may take before it is given up.
const limit = 3 * time.Minute

// run goes through the plan round by round, and in each round from configuration
// to configuration, so that whatever drifts on this machine meets all of them.
func (b *bench) run(ctx context.Context) (*report, error) {
	var err error
	if b.dir, err = os.MkdirTemp(b.opts.dir, "millrace-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.dir)
	b.bin = filepath.Join(b.dir, "bin")
	b.versions = map[string]string{}
	r := &report{Machine: describeMachine(ctx), Rounds: b.opts.rounds, Quick: b.opts.quick, Versions: b.versions, measurements: b.measurements}
	r.configs, r.Skipped = installed(b.configs)
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	for round := range b.opts.rounds {
		disk, err := measureDisk(b.dir)
		if err != nil {
			return nil, err
		}
		r.disk = append(r.disk, disk)
		for _, m := range b.measurements {
			for _, c := range rotated(r.configs, round) {
				b.profile = ""
				if round == 0 && m.name == b.opts.profile {
					b.profile = filepath.Join(b.opts.profileDir, m.name+"-"+c.name)
				}
				if err := b.measure(ctx, r, round, m, c); err != nil {
					return nil, err
				}
			}
		}
	}
	return r, nil
}

// rotated begins with another one each round, so that none always comes after the
// same other.
func rotated(all []config, by int) []config {
	if len(all) == 0 {
		return nil
	}
	by %= len(all)
	return slices.Concat(all[by:], all[:by])
}

// installed leaves out the configurations for which something is missing here, and
// says what.
func installed(all []config) (there []config, skipped []string) {
	for _, c := range all {
		if _, err := exec.LookPath(c.needs); c.needs != "" && err != nil {
			skipped = append(skipped, fmt.Sprintf("%s: there is no %s here (Debian: apt-get install %s)", c.title, c.needs, c.needs))
			continue
		}
		there = append(there, c)
	}
	return there, skipped
}

// measure adds one run to the report, or why it is worth nothing. The error is that
// the benchmark was told to stop.
func (b *bench) measure(ctx context.Context, r *report, round int, m measurement, c config) error {
	if (m.command || m.own) && c.sync == "" {
		return nil
	}
	found, err := b.undisturbed(ctx, m, c)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Fprintf(b.progress, "round %d of %d: %-10s %-15s %s\n", round+1, b.opts.rounds, m.name, c.name, outline(m, found, err))
	for _, row := range m.rows {
		r.add(row.name, c.name, found[row.name], err)
	}
	return nil
}

// outline is a run on a line.
func outline(m measurement, found map[string]figures, err error) string {
	if err != nil {
		return "INVALID: " + err.Error()
	}
	var parts []string
	for _, row := range m.rows {
		for _, f := range append(row.figures, row.more...) {
			if v, ok := found[row.name][f.name]; ok {
				parts = append(parts, f.label+f.show(v))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// build compiles what is measured. The command is in the module above.
func (b *bench) build(ctx context.Context) error {
	for _, t := range []struct{ dir, pkg string }{{".", "./cmd/..."}, {"..", "./cmd/millrace"}} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", b.bin+"/", t.pkg)
		cmd.Dir = t.dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s in %s: %w\n%s", t.pkg, t.dir, err, out)
		}
	}
	return nil
}
