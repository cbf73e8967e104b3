package scheduler_test

import (
	"context"
	"encoding/json"
	"fmt"
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

	"millrace"
	"millrace/embedded"
	"millrace/scheduler"
	"millrace/streams"
)

// bubble runs do on virtual time, from that time on. The server compares the age of
// messages with a clock that is one per process: it must not start inside, and what is
// older to it than now has expired.
func bubble(t *testing.T, from time.Time, do func(t *testing.T)) {
	t.Helper()
	ats.Register()
	defer ats.Unregister()
	emptyPools()
	defer emptyPools() // also if it fails
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(from))
		do(t)
	})
}

// emptyPools makes sure that no timer crosses a bubble's border: the NATS client
// keeps used ones in a pool, and a pool forgets in two collections what it holds.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}

// soon is a time at which a bubble may begin: 3 s after a full hour.
func soon() time.Time { return time.Now().Truncate(time.Hour).Add(time.Hour + 3*time.Second) }

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

// run runs a scheduler until the test ends, or what it returns is called.
func run(t *testing.T, store *streams.Store, cfg scheduler.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := scheduler.New(store, cfg).Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func put(t *testing.T, book *scheduler.Book, s millrace.Schedule) scheduler.Entry {
	t.Helper()
	e, err := book.Put(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// submission is a task as it lies in the log, and when it came there.
type submission struct {
	millrace.RawTask
	at time.Time
}

// submissions are the tasks in a queue's log. None of them may have been there twice.
func submissions(t *testing.T, js jetstream.JetStream, queue string) (all []submission) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "TASKS_"+queue)
	if err != nil {
		t.Fatal(err)
	}
	state := stream.CachedInfo().State
	if state.Msgs > 0 && state.Msgs != state.LastSeq-state.FirstSeq+1 {
		t.Errorf("%d tasks are left of %d: some came twice", state.Msgs, state.LastSeq)
	}
	for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			continue
		}
		s := submission{at: m.Time}
		if err := json.Unmarshal(m.Data, &s.RawTask); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// wantFired fails the test unless exactly the tasks of those due times were submitted,
// each no later after it than given, and none early.
func wantFired(t *testing.T, js jetstream.JetStream, s millrace.Schedule, late time.Duration, due ...time.Time) {
	t.Helper()
	i := 0
	for _, got := range submissions(t, js, "default") {
		if got.Kind != s.Kind {
			continue
		}
		if i >= len(due) {
			t.Errorf("%s: a task too many, at %s", s.Name, got.at)
			continue
		}
		if got.ID != s.TaskID(due[i]) {
			t.Errorf("%s: the task at %s is not that of %s", s.Name, got.at, due[i])
		}
		if was := got.at.Sub(due[i]); was < 0 || was > late {
			t.Errorf("%s: due at %s, came %s later", s.Name, due[i], was)
		}
		i++
	}
	if i < len(due) {
		t.Errorf("%s: %d of %d tasks came", s.Name, i, len(due))
	}
}

// times are n times, one every so often.
func times(from time.Time, every time.Duration, n int) (all []time.Time) {
	for i := range n {
		all = append(all, from.Add(time.Duration(i)*every))
	}
	return all
}

// message is what lies on a subject of the streams of schedules.
func message(t *testing.T, js jetstream.JetStream, stage, name string) (*jetstream.RawStreamMsg, jetstream.Stream) {
	t.Helper()
	for shard := range 4 {
		stream, err := js.Stream(t.Context(), fmt.Sprintf("SCHEDULES_%d", shard))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := stream.GetLastMsgForSubject(t.Context(), fmt.Sprintf("%s.%d.named.%s", stage, shard, name)); err == nil {
			return m, stream
		}
	}
	return nil, nil
}
