package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what should come at once. It is only ever
// used up by a failure.
const patience = 30 * time.Second

// process is a child of the test: millrace, which is this test binary under
// another name, or a nats-server.
type process struct {
	name   string
	args   []string
	dir    string
	env    []string // besides the test's own
	cmd    *exec.Cmd
	output transcript
	ended  chan struct{} // closed when it has ended; then cmd.ProcessState is set
}

// start starts a program that lives no longer than the test, in a directory of its
// own. A data race or a panic in it fails the test.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{name: name, args: args, dir: t.TempDir()}
	t.Cleanup(func() {
		p.kill()
		if sign := p.output.troubled(); sign != "" {
			t.Errorf("%s says %q", p, sign)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", p, p.output.tail())
		}
	})
	if err := p.launch(); err != nil {
		t.Fatal(err)
	}
	return p
}

// launch starts the program, for the first time or again. What it says is added
// to what it said before.
func (p *process) launch() error {
	p.cmd = exec.Command(p.name, p.args...)
	p.cmd.Dir = p.dir
	p.cmd.Env = append(bareEnvironment(), "XDG_STATE_HOME="+p.dir)
	p.cmd.Env = append(p.cmd.Env, p.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	// Whoever inherited the output must not keep Wait waiting.
	p.cmd.WaitDelay = 5 * time.Second
	dieWithParent(p.cmd)
	p.output.begin()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p, err)
	}
	ended := make(chan struct{})
	p.ended = ended
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // how it ended is in its state
		close(ended)
	}(p.cmd)
	return nil
}

// bareEnvironment is the test's, without settings of Millrace, and where traces go.
func bareEnvironment() (env []string) {
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, envPrefix) && !strings.HasPrefix(pair, "OTEL_") {
			env = append(env, pair)
		}
	}
	return env
}

func (p *process) String() string { return p.name + " " + strings.Join(p.args, " ") }

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() {
	if p.ended == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %s to %s: %v", s, p, err)
	}
}

// exitCode waits for the end.
func (p *process) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s does not end", p)
		return -1
	}
}

// await waits until the process, since it was last started, has said something
// that matches, and returns the first group of the match.
func (p *process) await(pattern *regexp.Regexp) (string, error) {
	deadline := time.After(patience)
	for {
		said, more := p.output.current()
		if m := pattern.FindSubmatch(said); m != nil {
			return string(m[len(m)-1]), nil
		}
		select {
		case <-more:
		case <-p.ended:
			if said, _ := p.output.current(); !pattern.Match(said) {
				return "", fmt.Errorf("%s ended (%s) without saying %s", p, p.cmd.ProcessState, pattern)
			}
		case <-deadline:
			return "", fmt.Errorf("%s does not say %s", p, pattern)
		}
	}
}

// says is await for what must come.
func (p *process) says(t *testing.T, pattern *regexp.Regexp) string {
	t.Helper()
	found, err := p.await(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The words by which a process says where it is.
var (
	apiAddress  = regexp.MustCompile(`(?:API +http://|"msg":"ready","api":")([0-9.]+:\d+)`)
	natsAddress = regexp.MustCompile(`(?:NATS +|"nats":")(nats://[0-9.]+:\d+)`)
	isReady     = regexp.MustCompile(`"msg":"(ready)"`)
)

// transcript is what a process says, on both of its outputs.
type transcript struct {
	mu    sync.Mutex
	said  bytes.Buffer
	since int           // where the current run of the process begins
	more  chan struct{} // closed when something is added
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.said.Write(p)
}

func (o *transcript) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = o.said.Len()
}

func (o *transcript) current() (said []byte, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return bytes.Clone(o.said.Bytes()[o.since:]), o.more
}

func (o *transcript) troubled() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, sign := range []string{"DATA RACE", "panic", "goroutine 1 ["} {
		if bytes.Contains(o.said.Bytes(), []byte(sign)) {
			return sign
		}
	}
	return ""
}

func (o *transcript) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	said := o.said.Bytes()
	return string(said[max(0, len(said)-8<<10):])
}

// freePort finds a port for a process that is to come back on the same one. It is
// below the range that the kernel takes the ports of clients from: else a client
// that dials it while nobody listens may be given that very port, and be connected
// to itself.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 15_000 + rand.IntN(15_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("there is no free port")
	return 0
}
