package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsServerDir and natsDir are where the stock server and the stock command are built;
// removed after the tests.
var natsServerDir, natsDir string

// natsServer is the stock server, built from the module that we embed: once, and
// only if a test wants it.
var natsServer = sync.OnceValues(func() (path string, err error) {
	natsServerDir, err = os.MkdirTemp("", "millrace-nats-server")
	if err != nil {
		return "", err
	}
	path = filepath.Join(natsServerDir, "nats-server")
	out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build nats-server: %w: %s", err, out)
	}
	return path, nil
})

// stockTools builds the stock nats command: once, and only if a test wants it. It returns
// the directory that it is in.
var stockTools = sync.OnceValues(func() (dir string, err error) {
	natsDir, err = os.MkdirTemp("", "millrace-nats")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-modfile", "../../tools/go.mod", "-o", natsDir, "github.com/nats-io/natscli/nats").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build nats: %w: %s", err, out)
	}
	return natsDir, nil
})

var serverReady = regexp.MustCompile(`Server is (ready)`)

// broker is a stock NATS server that syncs every write.
type broker struct {
	*process
	url string
}

func startBroker(t *testing.T) *broker {
	t.Helper()
	path, err := natsServer()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	port := freePort(t)
	config := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\njetstream { store_dir: %q, sync_interval: always }\n", port, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &broker{process: start(t, path, "-c", config), url: fmt.Sprintf("nats://127.0.0.1:%d", port)}
	b.says(t, serverReady)
	return b
}

// inspector looks at the streams, as an operator would with the nats command.
type inspector struct{ js jetstream.JetStream }

func inspect(t *testing.T, url string) inspector {
	t.Helper()
	// It comes back when the server does.
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return inspector{js}
}

func (i inspector) state(t *testing.T, stream string) jetstream.StreamState {
	t.Helper()
	var state jetstream.StreamState
	eventually(t, func() error {
		s, err := i.js.Stream(t.Context(), stream)
		if err != nil {
			return fmt.Errorf("stream %s: %w", stream, err)
		}
		state = s.CachedInfo().State
		return nil
	})
	return state
}

// progress is the newest task of the default queue, and the one up to which all are
// done.
func (i inspector) progress(ctx context.Context) (newest, done uint64, err error) {
	s, err := i.js.Stream(ctx, "TASKS_default")
	if err != nil {
		return 0, 0, err
	}
	workers, err := s.Consumer(ctx, "workers")
	if err != nil {
		return 0, 0, err
	}
	return s.CachedInfo().State.LastSeq, workers.CachedInfo().AckFloor.Stream, nil
}

// written is how often each stream has been written to, ever.
func (i inspector) written(t *testing.T) map[string]uint64 {
	t.Helper()
	last := map[string]uint64{}
	streams := i.js.ListStreams(t.Context())
	for s := range streams.Info() {
		if s.Config.Name != "KV_workers" { // a worker says all the time how it is
			last[s.Config.Name] = s.State.LastSeq
		}
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return last
}
