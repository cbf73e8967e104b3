package processor_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"millrace/streams"
	"millrace/test/broker"
)

// trim removes from the log whatever nobody needs, and returns how many tasks that
// were.
func trim(t *testing.T, store *streams.Store) uint64 {
	t.Helper()
	n, err := store.Trim(t.Context(), "default", streams.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func cancelTask(t *testing.T, store *streams.Store, id string) {
	t.Helper()
	if _, err := store.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// purge removes what lies on a subject.
func purge(t *testing.T, b *broker.Broker, stream, subject string) error {
	t.Helper()
	s, err := inspect(t, b).Stream(t.Context(), stream)
	if err != nil {
		return err
	}
	return s.Purge(t.Context(), jetstream.WithPurgeSubject(subject))
}
