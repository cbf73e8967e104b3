package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace/streams"
	"millrace/test/broker"
)

// bubble runs do on virtual time, from now on.
func bubble(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	broker.Bubble(t, time.Now(), do)
}

// newBroker starts a broker that syncs every write, until the end of the test.
func newBroker(t testing.TB) *broker.Broker {
	t.Helper()
	return broker.New(t)
}

// inspect connects to the broker as any NATS client would.
func inspect(t testing.TB, b *broker.Broker) jetstream.JetStream {
	t.Helper()
	return broker.Inspect(t, b)
}

// line is a way to the broker that can be cut: then what is sent is lost, and
// nothing is heard, but neither side is told.
type line struct {
	*broker.Broker

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
	conn, err := l.Broker.InProcessConn()
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

func open(t *testing.T, way broker.Way, cfg streams.Config) *streams.Store {
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

// moveDue brings back what was parked, as a scheduler does, until stop or the end of
// the test.
func moveDue(t *testing.T, store *streams.Store) (stop func()) {
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
	stop = func() {
		cancel()
		moving.Wait()
	}
	t.Cleanup(stop)
	return stop
}

func streamState(t *testing.T, b *broker.Broker, name string) jetstream.StreamState {
	t.Helper()
	stream, err := inspect(t, b).Stream(t.Context(), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return stream.CachedInfo().State
}

// dead is what is kept of the failed tasks, by id.
func dead(t *testing.T, b *broker.Broker) map[string]streams.Dead {
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
