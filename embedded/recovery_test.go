package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/embedded"
	"millrace/test/broker"
)

// A server by itself starts without what it cannot read, and whoever comes next creates it anew.
func TestDamagedStore(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"stream":            {"meta.inf", "stream KEEP could not be read"},
		"stream's checksum": {"meta.sum", "stream KEEP could not be read"},
		"consumer":          {"obs/reader/meta.inf", "consumer reader of stream KEEP could not be read"},
		"consumer's state":  {"obs/reader/o.dat", "consumer reader of stream KEEP could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
			server := start(t, cfg)
			fill(t, broker.Inspect(t, server), 10)
			server.Shutdown()

			file := filepath.Join(cfg.DataDir, "jetstream/$G/streams/KEEP", test.file)
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, []byte("!"))
			if err := refused(t, cfg); !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			write(t, file, whole)
			holds(t, broker.Inspect(t, start(t, cfg)), 10)
		})
	}
}

// What a kill leaves of a creation or deletion under way is no loss, and must not keep the server from starting.
func TestUnfinishedStore(t *testing.T) {
	for name, leave := range map[string]func(stream string) error{
		"stream being created": func(stream string) error {
			return errors.Join(os.RemoveAll(filepath.Join(stream, "msgs")), os.Remove(filepath.Join(stream, "meta.sum")))
		},
		"stream being deleted": func(stream string) error {
			return os.Remove(filepath.Join(stream, "meta.inf"))
		},
		"deleted stream": func(stream string) error {
			return os.Rename(stream, filepath.Join(filepath.Dir(stream), ".KEEP"))
		},
		"consumer being created": func(stream string) error {
			return os.Remove(filepath.Join(stream, "obs/reader/meta.sum"))
		},
		"consumer being deleted": func(stream string) error {
			return os.Remove(filepath.Join(stream, "obs/reader/meta.inf"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
			server := start(t, cfg)
			fill(t, broker.Inspect(t, server), 10)
			server.Shutdown()

			if err := leave(filepath.Join(cfg.DataDir, "jetstream/$G/streams/KEEP")); err != nil {
				t.Fatal(err)
			}
			start(t, cfg)
		})
	}
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
