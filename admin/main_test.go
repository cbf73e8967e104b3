package admin_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/admin"
	"millrace/streams"
	"millrace/test/broker"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
	)
}

// open connects to the broker as an operator does.
func open(t *testing.T, way broker.Way) *admin.Broker {
	t.Helper()
	b, err := admin.Open(t.Context(), streams.Config{InProcess: way})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// store opens the store, which sees to it that everything is there.
func store(t *testing.T, way broker.Way) *streams.Store {
	t.Helper()
	s, err := streams.Open(t.Context(), streams.Config{InProcess: way})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// eventually polls until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}
