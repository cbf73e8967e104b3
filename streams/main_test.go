package streams_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"millrace"
	"millrace/embedded"
	"millrace/streams"
)

func TestMain(m *testing.M) {
	// A server that is shut down in the middle of an atomic batch forgets to close
	// the files in which it staged it.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
	)
}

// bubble runs do on virtual time, from now on. The server compares the age of
// messages with a clock that is one per process: it must not start inside, and to it
// the year 2000, in which bubbles begin, is so long ago that records have expired.
func bubble(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	ats.Register()
	defer ats.Unregister()
	now := time.Now()
	emptyPools()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		do(t)
	})
	emptyPools()
}

// emptyPools makes sure that no timer crosses a bubble's border: the NATS client
// keeps used ones in a pool, and a pool forgets in two collections what it holds.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}

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

func open(t *testing.T, b *broker, cfg streams.Config) *streams.Store {
	t.Helper()
	cfg.InProcess = b
	store, err := streams.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// inspect connects to the broker as any NATS client would.
func inspect(t *testing.T, b *broker) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(b), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
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

func streamInfo(t *testing.T, js jetstream.JetStream, name string) *jetstream.StreamInfo {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return stream.CachedInfo()
}

// lastMessage is what lies on the subject.
func lastMessage(t *testing.T, js jetstream.JetStream, stream, subject string) *jetstream.RawStreamMsg {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return m
}

func newTask(id string) millrace.RawTask {
	return millrace.RawTask{ID: id, Kind: "demo.echo", Queue: "default", Args: json.RawMessage(`{"n":1}`), SubmittedAt: time.Now().UTC()}
}

// submit fails the test unless the task is accepted.
func submit(t *testing.T, store *streams.Store, tasks ...millrace.RawTask) {
	t.Helper()
	for i, err := range store.SubmitMany(t.Context(), tasks) {
		if err != nil {
			t.Fatalf("task %s: %v", tasks[i].ID, err)
		}
	}
}

func pull(t *testing.T, store *streams.Store, queue string) *streams.Puller {
	t.Helper()
	p, err := store.Pull(queue)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// take waits for n deliveries.
func take(t *testing.T, p *streams.Puller, n int) []*streams.Delivery {
	t.Helper()
	var all []*streams.Delivery
	deadline := time.Now().Add(time.Minute)
	for len(all) < n {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d tasks came", len(all), n)
		}
		got, err := p.Next(t.Context(), n-len(all))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got...)
	}
	return all
}

// eventually polls until what is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 seconds: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
