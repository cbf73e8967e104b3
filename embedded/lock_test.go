package embedded_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"millrace/embedded"
	"millrace/test/broker"
)

func TestLockWithinAProcess(t *testing.T) {
	cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
	server := start(t, cfg)
	wantLocked(t, refused(t, cfg), cfg.DataDir, os.Getpid())
	server.Shutdown()
	start(t, cfg)
}

func TestLockBetweenProcesses(t *testing.T) {
	cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
	holder := startChild(t, cfg.DataDir)
	err := refused(t, cfg)
	wantLocked(t, err, cfg.DataDir, holder.pid)
	if want := fmt.Sprint("in use by process ", holder.pid); !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}

	holder.stdin.Close()
	if err := holder.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	holds(t, broker.Inspect(t, start(t, cfg)), 100)
}

func TestLockOfAKilledProcess(t *testing.T) {
	cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
	holder := startChild(t, cfg.DataDir)
	if err := holder.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := holder.cmd.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
	holds(t, broker.Inspect(t, start(t, cfg)), 100)
	wantLocked(t, refused(t, cfg), cfg.DataDir, os.Getpid())
}

func TestLockWithoutAPID(t *testing.T) {
	cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
	lock, err := os.Create(filepath.Join(cfg.DataDir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	err = refused(t, cfg)
	wantLocked(t, err, cfg.DataDir, 0)
	if !strings.Contains(err.Error(), "in use by another process") {
		t.Error(err)
	}
}
