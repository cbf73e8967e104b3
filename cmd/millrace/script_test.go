package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"millrace/test/collector"
)

// TestScripts runs testdata/*.txtar, each of which says what a user types and sees.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(10 * patience),
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Values[theNode] = new(*process)
			env.Values[theCollector] = new(*collector.Collector)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node":       scriptNode,
			"killnode":   scriptKillNode,
			"exits":      scriptExits,
			"field":      scriptField,
			"eventually": scriptEventually,
			"collector":  scriptCollector(t),
			"spans":      scriptSpans,
		},
	})
}

// scriptNode is "node [flags]": it starts a node on $WORK/data, stopped with the
// script. The client verbs find it in $MILLRACE_SERVER; $ADDRESS, $PORT, $NATSPORT
// and $PID are the node's.
func scriptNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("node cannot be negated")
	}
	p := &process{name: "millrace", dir: ts.MkAbs(".")}
	p.args = append([]string{"dev", "--listen", "127.0.0.1:0", "--nats-port", "0", "--data-dir", filepath.Join(ts.Getenv("WORK"), "data")}, args...)
	ts.Check(p.launch())
	ts.Defer(func() {
		p.kill()
		if sign := p.output.troubled(); sign != "" {
			ts.Fatalf("the node says %q:\n%s", sign, p.output.tail())
		}
	})
	address, err := p.await(apiAddress)
	ts.Check(err)
	url, err := p.await(natsAddress)
	ts.Check(err)
	ts.Setenv("ADDRESS", address)
	ts.Setenv("PORT", address[strings.LastIndexByte(address, ':')+1:])
	ts.Setenv("NATSPORT", url[strings.LastIndexByte(url, ':')+1:])
	ts.Setenv("PID", strconv.Itoa(p.cmd.Process.Pid))
	ts.Setenv("MILLRACE_SERVER", "http://"+address)
	*ts.Value(theNode).(**process) = p
}

// theNode is under which name a script keeps the node that it started last.
const theNode = "node"

// scriptKillNode is "killnode": kill -9 for the node. It can be started again.
func scriptKillNode(ts *testscript.TestScript, neg bool, args []string) {
	p := *ts.Value(theNode).(**process)
	if neg || len(args) > 0 || p == nil {
		ts.Fatalf("usage: killnode, after node")
	}
	p.kill()
}

// scriptExits is "exits CODE program args...": exec that wants that very exit code.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program [args...]")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if args[0] != strconv.Itoa(code) {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// scriptEventually is "eventually PATTERN program args...": it runs the program until its
// output matches.
func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN program [args...]")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no line matches %s in %s", args[0], patience)
		}
	}
}

// scriptField is "field NAME key": it puts a field of the JSON object that was
// printed last into the environment.
func scriptField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field NAME key")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &object))
	value, ok := object[args[1]].(string)
	if !ok {
		ts.Fatalf("there is no text %q in %v", args[1], object)
	}
	ts.Setenv(args[0], value)
}
