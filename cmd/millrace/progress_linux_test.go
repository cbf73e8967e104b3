package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal returns both ends of a pseudo-terminal: what a person sees and what
// a program writes to (pts(4)).
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	var number, unlocked uint32
	for request, value := range map[uintptr]*uint32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &unlocked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Skipf("there are no terminals here: %v", errno)
		}
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// TestProgressBar imports a file at a terminal, where a bar is drawn that ends at
// 100 %, and keeps what is not for people off it.
func TestProgressBar(t *testing.T) {
	sample, err := filepath.Abs(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	_, sensible := readSample(t)
	_, api := startDev(t)
	person, program := openTerminal(t)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "millrace", "order", "import", sample, "--server", api.base, "--parallel", "8")
	cmd.Dir, cmd.Env = t.TempDir(), bareEnvironment()
	cmd.Stdout, cmd.Stderr = &out, program
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close() // so that reading ends with the command, by an I/O error
	seen, _ := io.ReadAll(person)
	_ = cmd.Wait() // exits with 1, since lines are refused
	frames := strings.Split(strings.TrimSpace(string(seen)), "\r")
	last := frames[len(frames)-1]
	if want := fmt.Sprintf("[%s] 100%%  %d accepted, 89 refused", strings.Repeat("#", 30), sensible); last != want {
		t.Errorf("the bar ends with %q, want %q", last, want)
	}
	if len(frames) < 2 || !strings.HasPrefix(frames[0], "[") {
		t.Errorf("the bar is drawn %d times, first as %q", len(frames), frames[0])
	}
	if strings.Contains(out.String(), "\r") || !strings.HasSuffix(out.String(), "89 lines refused.\n") {
		t.Errorf("on standard output: %q", out.String())
	}
}
