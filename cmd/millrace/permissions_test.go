package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
)

// natsUsers are those of deploy/nats.
var natsUsers = []string{"gateway", "processor", "scheduler", "operator", "admin"}

func natsPassword(user string) string { return "12e4 of the " + user } // no word without its quotes

// startGuardedBroker starts a stock server as deploy/nats says, on a port and a folder of
// its own.
func startGuardedBroker(dir string) (*broker, error) {
	path, err := natsServer()
	if err != nil {
		return nil, err
	}
	config, err := filepath.Abs("../../deploy/nats/node.conf")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &process{name: path, dir: dir, args: []string{"-c", config, "-a", "127.0.0.1", "-p", "-1", "-m", "-1"}, env: []string{"NATS_DATA=" + dir}}
	for _, user := range natsUsers {
		p.env = append(p.env, fmt.Sprintf("MILLRACE_%s_PASSWORD=%q", strings.ToUpper(user), natsPassword(user)))
	}
	if err := p.launch(); err != nil {
		return nil, err
	}
	address, err := p.await(regexp.MustCompile(`Listening for client connections on ([0-9.:]+)`))
	if err == nil {
		_, err = p.await(serverReady)
	}
	if err != nil {
		p.kill()
	}
	return &broker{process: p, url: "nats://" + address}, err
}

// violations are what the server has refused to whom.
func (b *broker) violations() []string {
	said, _ := b.output.current()
	return regexp.MustCompile(`(?m)^.*Violation.*$`).FindAllString(string(said), -1)
}

// mainDemo is main with a processor that has the demo handlers besides.
func mainDemo() {
	ctx, stop := interruptible(context.Background(), os.Stderr)
	defer stop()
	io := stdio{os.Stdin, os.Stdout, os.Stderr}
	called := invocation{os.Args[1:], os.Environ(), io}
	parsed, err := called.parse()
	if err == nil {
		c := parsed.Selected().Target.Addr().Interface().(*processorCmd)
		c.register = registerDemo
		err = c.Run(ctx, io, called)
	}
	os.Exit(exitCode(err, os.Stderr))
}

// TestScriptsApart runs the scripts of a node once more, with a server of its own for
// what is kept and each role for itself, which is a user of that server that may do what
// deploy/nats allows it. Nothing that the roles want is refused.
func TestScriptsApart(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Files:               nodeScripts(t),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[theNode] = &apart3{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node":       scriptApart,
			"killnode":   scriptKillApart,
			"exits":      scriptExits,
			"field":      scriptField,
			"eventually": scriptEventually,
		},
	})
}

// nodeScripts are the scripts about what a node does, and not about how one is started.
func nodeScripts(t *testing.T) (files []string) {
	all, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		if strings.Contains(string(text), "\nnode") && !slices.Contains([]string{"node.txtar", "config.txtar", "alerts.txtar", "backup.txtar", "doctor.txtar", "traces.txtar"}, name) {
			files = append(files, file)
		}
	}
	return files
}

// apart3 is what does the work of a script's node.
type apart3 struct {
	broker *broker
	roles  []*process
}

func (a *apart3) kill() {
	for _, p := range a.roles {
		p.kill()
	}
	a.roles = nil
}

// scriptApart is "node [flags]" with the roles apart.
func scriptApart(ts *testscript.TestScript, neg bool, args []string) {
	a := ts.Value(theNode).(*apart3)
	if a.broker == nil {
		b, err := startGuardedBroker(ts.Getenv("WORK") + "/nats")
		ts.Check(err)
		a.broker = b
		ts.Defer(func() {
			a.kill()
			b.kill()
			if refused := b.violations(); len(refused) > 0 {
				ts.Fatalf("the server refuses:\n%s", strings.Join(refused, "\n"))
			}
		})
	}
	for _, role := range []string{"gateway", "processor", "scheduler"} {
		p := &process{name: "millrace", dir: ts.MkAbs(".")}
		p.args = append([]string{role, "--nats", a.broker.url, "--nats-user", role}, flagsOf(role, args)...)
		p.env = []string{"MILLRACE_NATS_PASSWORD=" + natsPassword(role)}
		switch role {
		case "gateway":
			p.args = append(p.args, "--listen", "127.0.0.1:0")
		case "processor":
			p.name = "millrace-demo"
		}
		ts.Check(p.launch())
		a.roles = append(a.roles, p)
		ts.Defer(func() {
			p.kill()
			if sign := p.output.troubled(); sign != "" {
				ts.Fatalf("%s says %q:\n%s", p, sign, p.output.tail())
			}
			ts.Logf("%s:\n%s", p, p.output.tail())
		})
		_, err := p.await(isReady)
		ts.Check(err)
		if role == "gateway" {
			address, err := p.await(apiAddress)
			ts.Check(err)
			ts.Setenv("PID", strconv.Itoa(p.cmd.Process.Pid))
			ts.Setenv("MILLRACE_SERVER", "http://"+address)
		}
	}
}

func scriptKillApart(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value(theNode).(*apart3).kill()
}

// flagsOf are those of a node's flags that a role has.
func flagsOf(role string, args []string) (own []string) {
	app := kong.Must(&cli{}, kong.Vars{"wait": "30s"})
	i := slices.IndexFunc(app.Model.Children, func(n *kong.Node) bool { return n.Name == role })
	known := append(flagNames(app.Model.Children[i]), "config")
	for i := 0; i+1 < len(args); i += 2 {
		if slices.Contains(known, strings.TrimPrefix(args[i], "--")) {
			own = append(own, args[i], args[i+1])
		}
	}
	return own
}
