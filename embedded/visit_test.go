package embedded_test

import (
	"os"
	"path/filepath"
	"testing"

	"millrace/embedded"
)

// Who only looks around after a crash does not make it an orderly stop, nor takes one away.
func TestVisit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	run := func(visit, remembers bool) *embedded.Server {
		t.Helper()
		s := start(t, embedded.Config{DataDir: dir, Port: -1, Visit: visit})
		if s.Remembers() != remembers {
			t.Errorf("visit %v: remembers %v", visit, s.Remembers())
		}
		return s
	}
	s := run(false, true)
	crashed := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	run(true, true).Shutdown()
	run(false, true).Shutdown()

	dir = crashed
	run(true, false).Shutdown()
	run(true, false).Shutdown()
	run(false, false).Shutdown()
	run(true, true).Shutdown()
}
