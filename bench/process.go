package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"millrace/bench/control"
)

// process is a program that we started. It has a directory that goes with it.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   io.ReadCloser
	dir   string
	log   tail
}

const endPatience = 10 * time.Second

// start starts a program that build has built, in a directory of its own, which
// args are told.
func (b *bench) start(ctx context.Context, program string, args func(dir string) []string) (*process, error) {
	dir, err := os.MkdirTemp(b.dir, program+"-")
	if err != nil {
		return nil, err
	}
	return b.startIn(ctx, dir, program, args)
}

// startIn starts a program in a directory that is there.
func (b *bench) startIn(ctx context.Context, dir, program string, args func(dir string) []string) (*process, error) {
	var err error
	p := &process{dir: dir, cmd: exec.CommandContext(ctx, filepath.Join(b.bin, program), args(dir)...)}
	p.cmd.Dir = dir // no configuration file of somebody's
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MILLRACE_") })
	p.cmd.Stderr = &p.log
	p.cmd.Cancel = p.end
	p.cmd.WaitDelay = endPatience
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

// end asks the process to end: what is in cmd/ does when its input ends, and the
// command when it is interrupted.
func (p *process) end() error {
	_ = p.stdin.Close()
	return p.cmd.Process.Signal(os.Interrupt)
}

// stop ends the process, kills it if it does not end, and removes what it stored.
func (p *process) stop() {
	p.halt()
	_ = os.RemoveAll(p.dir)
}

// halt ends the process and leaves what it stored.
func (p *process) halt() {
	_ = p.end()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, p.out)
		_ = p.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(endPatience):
		_ = p.cmd.Process.Kill()
		<-ended
	}
}

// explain adds to an error what the process said last.
func (p *process) explain(err error) error {
	if said := p.log.String(); err != nil && said != "" {
		return fmt.Errorf("%w; it said: %s", err, said)
	}
	return err
}

// system is a process of cmd/, which can be commanded.
type system struct {
	*process
	*control.Client
	control.Hello
	profile string
}

// with starts the system of a configuration, hands it to measure, and stops it.
func (b *bench) with(ctx context.Context, c config, measure func(*system) (figures, error)) (figures, error) {
	dir, err := os.MkdirTemp(b.dir, c.program+"-")
	if err != nil {
		return nil, err
	}
	sys, err := b.systemIn(ctx, dir, c)
	if err != nil {
		return nil, err
	}
	defer sys.stop()
	found, err := measure(sys)
	return found, sys.explain(err)
}

// systemIn starts the system of a configuration on a directory that is there.
func (b *bench) systemIn(ctx context.Context, dir string, c config) (*system, error) {
	p, err := b.startIn(ctx, dir, c.program, func(dir string) []string { return append([]string{"-dir", dir}, c.args...) })
	if err != nil {
		return nil, err
	}
	client, hello, err := control.Connect(p.stdin, p.out)
	if err != nil {
		p.stop()
		return nil, p.explain(fmt.Errorf("%s does not start: %w", c.program, err))
	}
	b.versions[c.name] = hello.Version
	return &system{p, client, hello, b.profile}, nil
}

// meter takes what the system uses until its stop is called; so it does the
// profile.
type meter struct {
	sys   *system
	from  usage
	began time.Time
}

func (s *system) meter() (*meter, error) {
	if s.profile != "" {
		if err := s.Profile(s.profile); err != nil {
			return nil, err
		}
	}
	from, err := usageOf(s.PIDs)
	return &meter{s, from, time.Now()}, err
}

// stop returns the cores in use, by whom.
func (m *meter) stop() (figures, error) {
	to, err := usageOf(m.sys.PIDs)
	took := time.Since(m.began).Seconds()
	if m.sys.profile != "" {
		err = errors.Join(err, m.sys.Profile(""))
	}
	used := to.since(m.from)
	return figures{
		serverCores.name: used.server / took,
		loadCores.name:   used.load / took,
		kernelCores.name: used.kernel() / took,
		otherCores.name:  used.others() / took,
	}, err
}

// tail keeps the last of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
