package streams_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace/embedded"
)

// broker is a server that can go away and come back with its store, and whose
// clients' connections can be held up. It takes the place of the server itself in
// a store's configuration.
type broker struct {
	t   *testing.T
	cfg embedded.Config

	mu     sync.Mutex
	server *embedded.Server
	deaf   chan struct{} // closed when clients can hear again; nil while they can
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	return startBroker(t, 0)
}

// startBroker starts one that syncs its store so often; zero is always.
func startBroker(t *testing.T, sync time.Duration) *broker {
	t.Helper()
	b := &broker{t: t, cfg: embedded.Config{DataDir: filepath.Join(t.TempDir(), "data"), Port: -1, Sync: sync}}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	server, err := embedded.Start(context.Background(), b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server = server
}

func (b *broker) stop() {
	b.mu.Lock()
	server := b.server
	b.server = nil
	b.mu.Unlock()
	b.hear()
	if server != nil {
		server.Shutdown()
	}
}

// deafen lets clients send, but not hear what the server says from now on, until
// hear. If the server is stopped first, they never will.
func (b *broker) deafen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = make(chan struct{})
}

func (b *broker) hear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf != nil {
		close(b.deaf)
		b.deaf = nil
	}
}

// InProcessConn connects to the server that runs now.
func (b *broker) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return nil, nats.ErrNoServers
	}
	conn, err := b.server.InProcessConn()
	return &slowConn{Conn: conn, broker: b}, err
}

// slowConn hears nothing while its broker's clients are deaf.
type slowConn struct {
	net.Conn
	broker *broker
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
