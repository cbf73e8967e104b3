package embedded_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/embedded"
)

func TestDataDirIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "data")
	var log bytes.Buffer
	cfg := embedded.Config{DataDir: dir, Port: -1, Logger: slog.New(slog.NewTextHandler(&log, nil))}

	start(t, cfg).Shutdown()
	wantPrivate(t, dir)
	wantPrivate(t, filepath.Dir(dir))
	wantPrivate(t, filepath.Join(dir, "jetstream"))

	chmod(t, dir, 0o755)
	start(t, cfg).Shutdown()
	wantPrivate(t, dir)
	if !strings.Contains(log.String(), "level=WARN msg=\"other users could enter") {
		t.Errorf("no warning of it in\n%s", log.String())
	}
}

func TestDataDirOfOthers(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir, 0o755)
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := embedded.Config{DataDir: dir, Port: -1}
	start(t, cfg).Shutdown()
	wantPrivate(t, dir)

	cfg.DataDir = t.TempDir()
	chmod(t, cfg.DataDir, 0o755)
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "letter.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, cfg); !strings.Contains(err.Error(), "holds other files") {
		t.Error(err)
	}
	if info, err := os.Stat(cfg.DataDir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode of a directory that is not ours was changed: %v, %v", info.Mode(), err)
	}
	// Private already, so nothing of its owner's has to change.
	chmod(t, cfg.DataDir, 0o700)
	start(t, cfg)
}

func TestDataDirIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "data")} {
		if err := refused(t, embedded.Config{DataDir: dir, Port: -1}); !strings.Contains(err.Error(), "is a file") {
			t.Error(err)
		}
	}
}

func TestStoreIsAFile(t *testing.T) {
	cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
	store := filepath.Join(cfg.DataDir, "jetstream")
	if err := os.WriteFile(store, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, cfg); !strings.Contains(err.Error(), "storage directory is not a directory") {
		t.Error(err)
	}
	if err := os.Remove(store); err != nil {
		t.Fatal(err)
	}
	start(t, cfg)
}

func TestDefaultDataDir(t *testing.T) {
	home := t.TempDir()
	for _, test := range []struct{ home, state, want string }{
		{home, "", filepath.Join(home, ".local/state/millrace-data")},
		{home, "relative", filepath.Join(home, ".local/state/millrace-data")},
		{home, "/state", "/state/millrace-data"},
		{"", "/state", "/state/millrace-data"},
		{"", "", ""},
	} {
		t.Setenv("HOME", test.home)
		t.Setenv("XDG_STATE_HOME", test.state)
		got, err := embedded.DefaultDataDir()
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%+v: got %q, %v", test, got, err)
		}
	}
	if err := refused(t, embedded.Config{Port: -1}); !strings.Contains(err.Error(), "--data-dir") {
		t.Error(err)
	}

	t.Setenv("HOME", home)
	start(t, embedded.Config{Port: -1})
	wantPrivate(t, filepath.Join(home, ".local/state/millrace-data"))
}

func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("%s has mode %v, want 0700", dir, got)
	}
}

// chmod goes around the umask, which os.Mkdir does not.
func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
