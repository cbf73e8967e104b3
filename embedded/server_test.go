package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace/embedded"
	"millrace/test/broker"
)

func TestRestartKeepsMessages(t *testing.T) {
	for _, sync := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint("sync ", sync), func(t *testing.T) {
			cfg := embedded.Config{DataDir: t.TempDir(), Port: -1, Sync: sync}
			server := start(t, cfg)
			fill(t, broker.Inspect(t, server), 100)
			server.Shutdown()

			js := broker.Inspect(t, start(t, cfg))
			holds(t, js, 100)
			consumer, err := js.Consumer(t.Context(), "KEEP", "reader")
			if err != nil {
				t.Fatal(err)
			}
			if got := consumer.CachedInfo().AckFloor.Stream; got != 1 {
				t.Fatalf("consumer is at %d, want 1", got)
			}
		})
	}
}

func TestStartOfAFullStore(t *testing.T) {
	cfg := embedded.Config{DataDir: t.TempDir(), Port: -1, Sync: time.Minute}
	server := start(t, cfg)
	fill(t, broker.Inspect(t, server), 10_000)
	server.Shutdown()

	began := time.Now()
	server = start(t, cfg)
	t.Logf("10,000 messages: started in %v", time.Since(began))
	holds(t, broker.Inspect(t, server), 10_000)
}

func TestShutdownIsIdempotent(t *testing.T) {
	cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
	server := start(t, cfg)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			server.Shutdown()
			// Whoever returned, the directory is free.
			if pid, err := os.ReadFile(filepath.Join(cfg.DataDir, "lock")); err != nil || len(pid) > 0 {
				t.Errorf("lock still says %q, %v", pid, err)
			}
		})
	}
	all.Wait()
	start(t, cfg)

	if conn, err := server.InProcessConn(); err == nil {
		conn.Close()
		t.Error("a server that was shut down takes connections")
	}
}

func TestDurability(t *testing.T) {
	server := start(t, embedded.Config{DataDir: t.TempDir(), Port: -1})
	if got := server.StoreConfig(); !got.SyncAlways {
		t.Errorf("by default, writes are synced every %v", got.SyncInterval)
	}
	server = start(t, embedded.Config{DataDir: t.TempDir(), Port: -1, Sync: time.Second, MaxStore: 1 << 30})
	if got := server.StoreConfig(); got.SyncAlways || got.SyncInterval != time.Second || got.MaxStore != 1<<30 {
		t.Errorf("got %+v, want a sync every second and a store of 1 GiB", got)
	}
}

func TestPort(t *testing.T) {
	t.Run("off", func(t *testing.T) {
		if url := start(t, embedded.Config{DataDir: t.TempDir(), Port: -1}).ClientURL(); url != "" {
			t.Errorf("got URL %s of a server without a listener", url)
		}
	})
	t.Run("picked", func(t *testing.T) {
		first := start(t, embedded.Config{DataDir: t.TempDir()})
		second := start(t, embedded.Config{DataDir: t.TempDir()})
		for _, server := range []*embedded.Server{first, second} {
			nc, err := nats.Connect(server.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if got := nc.ConnectedServerName(); got != "millrace" {
				t.Errorf("server is named %q", got)
			}
		}
		if !strings.HasPrefix(first.ClientURL(), "nats://127.0.0.1:") || first.ClientURL() == second.ClientURL() {
			t.Errorf("got URLs %s and %s", first.ClientURL(), second.ClientURL())
		}
	})
	t.Run("in use", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		cfg := embedded.Config{DataDir: t.TempDir(), Port: port}
		err = refused(t, cfg)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), fmt.Sprintf("port %d ", port)) {
			t.Errorf("got %v, want the port and that it is in use", err)
		}
		listener.Close()
		start(t, cfg)
	})
}

func TestBadConfig(t *testing.T) {
	err := refused(t, embedded.Config{DataDir: t.TempDir(), Port: 70_000, Sync: time.Nanosecond, MaxStore: -1})
	for _, want := range []string{"port 70000", "sync 1ns", "max store of -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	refused(t, embedded.Config{DataDir: t.TempDir(), Port: -2})
	refused(t, embedded.Config{DataDir: t.TempDir(), Port: -1, Sync: -time.Second})
}

func TestBadHost(t *testing.T) {
	// An address of nobody's: the documentation net.
	cfg := embedded.Config{DataDir: t.TempDir(), Host: "192.0.2.1"}
	if err := refused(t, cfg); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("got %v, want that the address is not ours", err)
	}
	cfg.Host = ""
	start(t, cfg)
}

func TestStartCancelled(t *testing.T) {
	cfg := embedded.Config{DataDir: t.TempDir(), Port: -1}
	server := start(t, cfg)
	fill(t, broker.Inspect(t, server), 100)
	server.Shutdown()

	ctx, cancel := context.WithCancel(t.Context())
	cancelling := cfg
	cancelling.Logger = onLine("Starting JetStream", cancel)
	if _, err := embedded.Start(ctx, cancelling); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that it was cancelled", err)
	}
	if _, err := embedded.Start(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that it was cancelled", err)
	}
	holds(t, broker.Inspect(t, start(t, cfg)), 100)
}
