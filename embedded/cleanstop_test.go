package embedded_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"millrace/embedded"
)

// What was delivered before an orderly stop is remembered, and what was before a crash
// is not. A start that fails changes neither.
func TestRemembers(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port

	dir := filepath.Join(t.TempDir(), "data")
	start := func(want bool) *embedded.Server {
		t.Helper()
		s, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir, Port: -1})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Remembers(); got != want {
			t.Errorf("remembers: %v, want %v", got, want)
		}
		return s
	}
	failToStart := func() {
		t.Helper()
		if s, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir, Port: port}); err == nil {
			s.Shutdown()
			t.Fatal("it started on a port that is taken")
		}
	}

	start(true).Shutdown() // it is new
	failToStart()
	s := start(true)

	// A crash leaves what a running server has on disk.
	crashed := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	dir = crashed
	failToStart()
	start(false).Shutdown()
	start(true).Shutdown()
}
