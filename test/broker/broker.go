// Package broker is the broker that tests run on: a real one, in the process, that
// can go away and come back with its store, also on virtual time ([Bubble]). The
// other types are ways to it on which something goes wrong, to be given to a store
// as the server itself would be. Only tests import it.
package broker

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/embedded"
)

// Way is a way to a broker in this process.
type Way = nats.InProcessConnProvider

// Broker is a server that can go away and come back with its store, and whose
// clients' connections can be held up.
type Broker struct {
	t   testing.TB
	cfg embedded.Config

	mu     sync.Mutex
	server *embedded.Server
	deaf   chan struct{} // closed when clients can hear again; nil while they can
}

// New starts one that has no port and syncs every write. It lasts as long as the
// test.
func New(t testing.TB) *Broker {
	t.Helper()
	return NewWith(t, embedded.Config{Port: -1})
}

// NewWith starts one that keeps its data in a directory of the test's, if cfg names
// none.
func NewWith(t testing.TB, cfg embedded.Config) *Broker {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = filepath.Join(t.TempDir(), "data")
	}
	b := &Broker{t: t, cfg: cfg}
	b.Start()
	t.Cleanup(b.Stop)
	return b
}

// Start lets it come back.
func (b *Broker) Start() {
	b.t.Helper()
	server, err := embedded.Start(context.Background(), b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server = server
}

// Stop lets it go away.
func (b *Broker) Stop() {
	b.mu.Lock()
	server := b.server
	b.server = nil
	b.mu.Unlock()
	b.Hear()
	if server != nil {
		server.Shutdown()
	}
}

// URL is where other processes reach the server that runs now.
func (b *Broker) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.server.ClientURL()
}

// InProcessConn connects to the server that runs now.
func (b *Broker) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return nil, nats.ErrNoServers
	}
	conn, err := b.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: conn, broker: b}, nil
}

// Deafen lets clients send, but not hear what the server says from now on, until
// Hear. If the server is stopped first, they never will.
func (b *Broker) Deafen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = make(chan struct{})
}

// Hear is the opposite of Deafen.
func (b *Broker) Hear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf != nil {
		close(b.deaf)
		b.deaf = nil
	}
}

// slowConn hears nothing while its broker's clients are deaf.
type slowConn struct {
	net.Conn
	broker *Broker
}

func (c *slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.broker.mu.Lock()
	deaf := c.broker.deaf
	c.broker.mu.Unlock()
	if deaf != nil {
		<-deaf
		c.broker.mu.Lock()
		defer c.broker.mu.Unlock()
		if c.broker.server == nil {
			return 0, io.EOF // what it would have heard is lost
		}
	}
	return n, err
}

// Inspect connects to a broker as any NATS client would, until the end of the test.
// It comes back when the broker does.
func Inspect(t testing.TB, way Way) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(way), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
