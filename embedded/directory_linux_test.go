package embedded_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"millrace/embedded"
)

func TestDataDirIsNotOurs(t *testing.T) {
	parent := t.TempDir()
	chmod(t, parent, 0o500)
	t.Cleanup(func() { os.Chmod(parent, 0o700) })
	asNobody(func() {
		for _, dir := range []string{parent, filepath.Join(parent, "data")} {
			server, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir, Port: -1})
			if err == nil {
				server.Shutdown()
			}
			if !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s: got %v, want that it is not permitted", dir, err)
			}
		}
	})
}

// asNobody takes root's power over files from do, as far as it stays on its goroutine. Anyone else than root has none.
func asNobody(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // and never unlock, so that the thread ends with the goroutine
			syscall.Setfsuid(65534)
		}
		do()
	}()
	<-done
}
