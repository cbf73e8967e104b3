package scheduler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// soon is a time at which a bubble may begin: 3 s after a full hour.
func soon() time.Time { return time.Now().Truncate(time.Hour).Add(time.Hour + 3*time.Second) }

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
