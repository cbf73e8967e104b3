package processor_test

import (
	"context"
	"encoding/json"
	"errors"
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

	"millrace/embedded"
	"millrace/streams"
)

// bubble runs do on virtual time, from now on. The server compares the age of
// messages with a clock that is one per process: it must not start inside, and to it
// the year 2000, in which bubbles begin, is so long ago that records have expired.
func bubble(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	ats.Register()
	defer ats.Unregister()
	now := time.Now()
	emptyPools()
	defer emptyPools() // also if it fails
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		do(t)
	})
}

// emptyPools makes sure that no timer crosses a bubble's border: the NATS client
// keeps used ones in a pool, and a pool forgets in two collections what it holds.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}

// broker is a server that can go away and come back with its store.
type broker struct {
	t   *testing.T
	cfg embedded.Config

	mu     sync.Mutex
	server *embedded.Server
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{t: t, cfg: embedded.Config{DataDir: filepath.Join(t.TempDir(), "data"), Port: -1}}
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
	if server != nil {
		server.Shutdown()
	}
}

// InProcessConn connects to the server that runs now.
func (b *broker) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return nil, nats.ErrNoServers
	}
	return b.server.InProcessConn()
}

// line is a way to the broker that can be cut: then what is sent is lost, and
// nothing is heard, but neither side is told.
type line struct {
	broker *broker

	mu     sync.Mutex
	broken chan struct{} // closed when it is mended; nil while it works
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = make(chan struct{})
}

// mend ends the connections that were cut, so that new ones are made.
func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		close(l.broken)
		l.broken = nil
	}
}

func (l *line) state() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// InProcessConn connects through the line.
func (l *line) InProcessConn() (net.Conn, error) {
	conn, err := l.broker.InProcessConn()
	return &lineConn{Conn: conn, line: l}, err
}

type lineConn struct {
	net.Conn
	line *line
}

func (c *lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if broken := c.line.state(); broken != nil {
		<-broken
		c.Close()
		return 0, io.EOF
	}
	return n, err
}

func (c *lineConn) Write(p []byte) (int, error) {
	if c.line.state() != nil {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func open(t *testing.T, way interface{ InProcessConn() (net.Conn, error) }, cfg streams.Config) *streams.Store {
	t.Helper()
	cfg.InProcess = way
	store, err := streams.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	moveDue(t, store)
	return store
}

// moveDue brings back what was parked, as a scheduler does.
func moveDue(t *testing.T, store *streams.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var moving sync.WaitGroup
	for shard := range store.Shards() {
		p, err := store.PullDue(shard)
		if err != nil {
			t.Fatal(err)
		}
		moving.Go(func() {
			for ctx.Err() == nil {
				due, err := p.Next(ctx, 100)
				if err == nil {
					err = store.Move(ctx, due)
				}
				if err != nil { // the broker may be away
					time.Sleep(100 * time.Millisecond)
				}
			}
			_ = p.Close()
		})
	}
	t.Cleanup(func() {
		cancel()
		moving.Wait()
	})
}

// inspect connects to the broker as any NATS client would.
func inspect(t *testing.T, b *broker) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(b))
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

func streamState(t *testing.T, b *broker, name string) jetstream.StreamState {
	t.Helper()
	stream, err := inspect(t, b).Stream(t.Context(), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return stream.CachedInfo().State
}

// dead is what is kept of the failed tasks, by id.
func dead(t *testing.T, b *broker) map[string]streams.Dead {
	t.Helper()
	stream, err := inspect(t, b).Stream(t.Context(), "DEAD")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]streams.Dead{}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // taken out again
		}
		if err != nil {
			t.Fatal(err)
		}
		var d streams.Dead
		if err := json.Unmarshal(m.Data, &d); err != nil {
			t.Fatal(err)
		}
		all[d.Task.ID] = d
	}
	return all
}
