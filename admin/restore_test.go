package admin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/admin"
	"millrace/streams"
	"millrace/test/broker"
)

// backedUp is the backup of a broker with a task.
func backedUp(t *testing.T) (dir string, from *broker.Broker) {
	t.Helper()
	from = broker.New(t)
	s := store(t, from)
	if err := s.Submit(t.Context(), millrace.RawTask{ID: "a", Kind: "demo.echo", Queue: "default", SubmittedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "deep", "copy")
	told := 0
	m, err := open(t, from).Backup(t.Context(), dir, func(string) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	if again, err := admin.Verify(dir); err != nil || !cmp.Equal(m, again) || told != len(m.Streams) {
		t.Errorf("it reads %v, %v\n%s", told, err, cmp.Diff(m, again))
	}
	if left, _ := filepath.Glob(dir + "*partial*"); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
	return dir, from
}

// A backup that is not as it was made is refused, and nothing is changed.
func TestRestoreDamaged(t *testing.T) {
	dir, _ := backedUp(t)
	b := broker.New(t)
	js := broker.Inspect(t, b)
	target := open(t, b)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) < 20 {
		t.Fatalf("found %v, %v", files, err)
	}
	for name, damage := range map[string]func(data []byte) []byte{
		"a byte":  func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
		"the end": func(data []byte) []byte { return data[:len(data)-1] },
		"half":    func(data []byte) []byte { return data[:len(data)/2] },
		"all":     func([]byte) []byte { return nil },
	} {
		damaged := files
		if name == "half" || name == "all" { // it says the same without its last line end
			damaged = append(slices.Clone(files), filepath.Join(dir, "manifest.json"))
		}
		for _, path := range damaged {
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, damage(slices.Clone(whole)))
			_, err = target.Restore(t.Context(), dir, true, nil)
			if _, is := errors.AsType[*admin.DamagedError](err); !is {
				t.Errorf("%s of %s is gone: %v", name, path, err)
			}
			if err == nil {
				t.Fatalf("%s of %s is gone, and it was restored", name, path)
			}
			write(t, path, whole)
		}
	}
	for s := range js.StreamNames(t.Context()).Name() {
		t.Errorf("there is the stream %s", s)
	}
	if _, err := target.Restore(t.Context(), dir, false, nil); err != nil {
		t.Errorf("whole again: %v", err)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Where something is, nothing is put, unless it is to be replaced; and not while somebody
// works there.
func TestRestoreReplaces(t *testing.T) {
	dir, from := backedUp(t)
	s := store(t, from)
	if err := s.Submit(t.Context(), millrace.RawTask{ID: "b", Kind: "demo.echo", Queue: "default", SubmittedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	target := open(t, from)
	if _, err := target.Restore(t.Context(), dir, false, nil); !errors.Is(err, admin.ErrNotEmpty) {
		t.Errorf("not empty: %v", err)
	}
	m := start(t, from)
	eventually(t, "a worker is seen", func() bool {
		_, err := target.Restore(t.Context(), dir, false, nil)
		if !errors.Is(err, admin.ErrNotEmpty) {
			t.Fatal(err)
		}
		c, err := broker.Inspect(t, from).Consumer(t.Context(), "TASKS_default", "workers")
		return err == nil && c.CachedInfo().NumWaiting > 0
	})
	if _, err := target.Restore(t.Context(), dir, true, nil); err == nil || !strings.Contains(err.Error(), "somebody works here") {
		t.Errorf("somebody works: %v", err)
	}
	if _, err := s.Lookup(t.Context(), "b"); err != nil {
		t.Errorf("something was changed: %v", err)
	}
	m.stop()
	s.Close()
	eventually(t, "it is replaced", func() bool {
		_, err := target.Restore(t.Context(), dir, true, nil)
		return err == nil
	})
	s = store(t, from)
	if _, err := s.Lookup(t.Context(), "a"); err != nil {
		t.Errorf("a: %v", err)
	}
	if _, err := s.Lookup(t.Context(), "b"); !errors.Is(err, millrace.ErrNotFound) {
		t.Errorf("b: %v", err)
	}
}

// A restore that ends on the way, whichever stream it was at, keeps everybody out until
// it is done again.
func TestRestoreInterrupted(t *testing.T) {
	dir, _ := backedUp(t)
	b := broker.New(t)
	target := open(t, b)
	for after := 1; ; after += 4 {
		ctx, stop := context.WithCancel(t.Context())
		restored := 0
		m, err := target.Restore(ctx, dir, after > 1, func(admin.Copied) {
			if restored++; restored == after {
				stop()
			}
		})
		stop()
		if after <= len(m.Streams) && err == nil {
			t.Fatalf("it was interrupted after %d streams, and says nothing", after)
		}
		if err == nil {
			break
		}
		if s, err := streams.Open(t.Context(), streams.Config{InProcess: b}); !errors.Is(err, streams.ErrRestoring) {
			if err == nil {
				s.Close()
			}
			t.Fatalf("interrupted after %d streams: %v", after, err)
		}
		want(t, target.Examine(t.Context(), admin.Examination{}), admin.Fail, "restore", "was not finished")
		if _, err := target.Backup(t.Context(), filepath.Join(t.TempDir(), "x"), nil); !errors.Is(err, streams.ErrRestoring) {
			t.Errorf("backup of half: %v", err)
		}
		if _, err := target.Restore(t.Context(), dir, false, nil); !errors.Is(err, admin.ErrNotEmpty) {
			t.Errorf("again, without replace: %v", err)
		}
	}
	if found, err := store(t, b).Lookup(t.Context(), "a"); err != nil || found.Record.State != millrace.Pending {
		t.Errorf("a is %+v, %v", found.Record, err)
	}
}
