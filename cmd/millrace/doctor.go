package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"millrace/admin"
	"millrace/embedded"
	"millrace/streams"
)

// placeFlags say where everything is kept: on a NATS server, which may be inside a node
// that runs, or in the directory of a node that does not.
type placeFlags struct {
	queueFlags
	brokerFlags
	syncFlag
	DataDir string `name:"data-dir" help:"The data directory of a node that does not run, instead of --nats." placeholder:"DIR"`
}

// open connects to where everything is kept. If that is a directory, a server runs on it
// until close.
func (f placeFlags) open(ctx context.Context, visit bool) (b *admin.Broker, closes func(), err error) {
	cfg, err := f.store("millrace-admin", f.Sync, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	cfg.URL = f.NATS
	if cfg.Access, err = f.access("admin"); err != nil {
		return nil, nil, err
	}
	if f.DataDir == "" {
		b, err := admin.Open(ctx, cfg)
		if err != nil {
			return nil, nil, fmt.Errorf("%w (--nats names another place; a node that does not run is looked at with --data-dir)", err)
		}
		return b, b.Close, nil
	}
	return f.visit(ctx, cfg, visit)
}

// visit runs a server on the data directory.
func (f placeFlags) visit(ctx context.Context, cfg streams.Config, visit bool) (*admin.Broker, func(), error) {
	server, err := embedded.Start(ctx, embedded.Config{DataDir: f.DataDir, Port: -1, Sync: time.Duration(f.Sync), Visit: visit})
	if locked, ok := errors.AsType[*embedded.LockedError](err); ok {
		return nil, nil, fmt.Errorf("a node runs on %s (process %d): leave --data-dir out, and name its NATS port with --nats", locked.Dir, locked.PID)
	}
	if err != nil {
		return nil, nil, err
	}
	cfg.InProcess = server
	b, err := admin.Open(ctx, cfg)
	if err != nil {
		server.Shutdown()
		return nil, nil, err
	}
	return b, func() { b.Close(); server.Shutdown() }, nil
}

// stored says whether there is anything in the data directory.
func (f placeFlags) stored() error {
	if f.DataDir == "" {
		return nil
	}
	_, err := os.Stat(filepath.Join(f.DataDir, "jetstream"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is no data directory of Millrace: there is nothing in it", f.DataDir)
	}
	return err
}

type doctorCmd struct {
	placeFlags
	Role    string `help:"Whose permissions are tried: \"gateway\", \"processor\" or \"scheduler\", as which --nats must sign in; \"all\" for a server that all of them share." enum:"all,gateway,processor,scheduler" default:"all"`
	Monitor string `help:"The monitoring of the NATS server, which says when it syncs." placeholder:"URL"`
	JSON    bool   `name:"json" help:"Print one JSON object a line."`
}

// Run looks at everything, and tells what is wrong and what to do. It ends with exit code
// 1 if something does not work.
func (c *doctorCmd) Run(ctx context.Context, io stdio) error {
	if err := c.stored(); err != nil {
		return err
	}
	b, closes, err := c.open(ctx, true)
	if err != nil {
		return err
	}
	defer closes()
	what := admin.Examination{Role: c.Role, Monitor: c.Monitor}
	if c.Role == "all" {
		what.Role = ""
	}
	if c.DataDir != "" {
		what.Sync = "nobody runs on " + c.DataDir + "; when it syncs is for --sync of the next node to say, which is to sync every write unless that is set"
	}
	findings := b.Examine(ctx, what)
	if c.DataDir != "" {
		findings = append(findings, diskFinding(c.DataDir))
	}
	for _, f := range findings {
		if err := c.tell(io, f); err != nil {
			return err
		}
	}
	if admin.Worst(findings) == admin.Fail {
		return errReported
	}
	return nil
}

func (c *doctorCmd) tell(io stdio, f admin.Finding) error {
	if c.JSON {
		return json.NewEncoder(io.out).Encode(f)
	}
	if _, err := fmt.Fprintf(io.out, "%-5s %-12s %s\n", f.Level, f.Check, shown(f.Says, 1000)); err != nil || f.Do == "" {
		return err
	}
	_, err := fmt.Fprintf(io.out, "%-18s → %s\n", "", shown(f.Do, 1000))
	return err
}

// diskFullAt is how full a disk may be, in percent: when it is full, the server stops
// answering whoever writes.
const diskFullAt = 85

func diskFinding(dir string) admin.Finding {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return admin.Finding{Level: admin.Warn, Check: "disk", Says: fmt.Sprintf("how full the disk of %s is cannot be told: %v", dir, err)}
	}
	free := uint64(disk.Bavail) * uint64(disk.Bsize)
	usable := (uint64(disk.Blocks)-uint64(disk.Bfree))*uint64(disk.Bsize) + free
	full := 100 - 100*free/max(usable, 1)
	found := admin.Finding{Level: admin.OK, Check: "disk", Says: fmt.Sprintf("the disk of %s is %d %% full, %d MiB are free", dir, full, free>>20)}
	if full >= diskFullAt {
		found.Level, found.Do = admin.Warn, "make room: when it is full, nothing can be written any more"
	}
	return found
}
