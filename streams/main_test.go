package streams_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"millrace"
	"millrace/embedded"
	"millrace/streams"
	"millrace/test/broker"
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

// startBroker starts one that syncs its store so often.
func startBroker(t testing.TB, sync time.Duration) *broker.Broker {
	t.Helper()
	return broker.NewWith(t, embedded.Config{Port: -1, Sync: sync})
}

// inspect connects to the broker as any NATS client would.
func inspect(t testing.TB, b *broker.Broker) jetstream.JetStream {
	t.Helper()
	return broker.Inspect(t, b)
}

func open(t *testing.T, b *broker.Broker, cfg streams.Config) *streams.Store {
	t.Helper()
	cfg.InProcess = b
	store, err := streams.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
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
