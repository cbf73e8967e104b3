package millracetest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/millracetest"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// Parallel tests, some of which are on the real time, do not meet each other's timers.
func TestBeside(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint("virtual ", i), func(t *testing.T) {
			t.Parallel()
			millracetest.Run(t, func(t *testing.T, m *millracetest.Millrace) {
				processor.Handle(m.Processor, "job", func(context.Context, millrace.Task[any]) (any, error) { return nil, nil }, processor.Kind{})
				m.Wait(m.Submit("job", nil))
			})
		})
		t.Run(fmt.Sprint("real ", i), func(t *testing.T) {
			t.Parallel()
			millracetest.Beside(t)
			store, err := streams.Open(t.Context(), streams.Config{InProcess: broker.NewWith(t, embedded.Config{Port: -1, Sync: time.Minute})})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(store.Close)
			for n := range 20 {
				if err := store.Submit(t.Context(), millrace.RawTask{ID: fmt.Sprint("t", n), Kind: "job"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Who would wait for itself is told so, instead of waiting until the tests are over time.
func TestMisused(t *testing.T) {
	if how := os.Getenv("MILLRACETEST_MISUSE"); how != "" {
		run := func(t *testing.T) { millracetest.Run(t, func(*testing.T, *millracetest.Millrace) {}) }
		switch how {
		case "run in run":
			millracetest.Run(t, func(t *testing.T, _ *millracetest.Millrace) { run(t) })
		case "run beside itself":
			millracetest.Beside(t)
			run(t)
		case "run beside its parent":
			millracetest.Beside(t)
			t.Run("child", run)
		case "beside in run":
			millracetest.Run(t, func(t *testing.T, _ *millracetest.Millrace) { millracetest.Beside(t) })
		}
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"run in run", "run beside itself", "run beside its parent", "beside in run"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program, "-test.run", "^TestMisused$", "-test.timeout", "30s")
			cmd.Env = append(os.Environ(), "MILLRACETEST_MISUSE="+how)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "TestMisused has called Run or Beside and has not ended") || strings.Contains(string(out), "panic") {
				t.Errorf("%v, it says %s", err, out)
			}
		})
	}
}
