package streams_test

import (
	"encoding/json"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"millrace"
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
