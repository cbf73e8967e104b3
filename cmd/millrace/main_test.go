package main

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestMain lets the test binary be millrace as well, under that name and first in
// the PATH, and millrace-demo, whose processor has the demo handlers too. So the tests run what main runs, and never a stale binary.
func TestMain(m *testing.M) {
	testscript.Main(leakFree{m}, map[string]func(){"millrace": main, "millrace-demo": mainDemo})
}

// leakFree runs the tests and then looks for goroutines that they left behind.
type leakFree struct{ m *testing.M }

func (l leakFree) Run() int {
	code := l.m.Run()
	if err := errors.Join(os.RemoveAll(natsServerDir), os.RemoveAll(natsDir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintf(os.Stderr, "the tests passed, but leaked goroutines: %v\n", err)
		return 1
	}
	return 0
}
