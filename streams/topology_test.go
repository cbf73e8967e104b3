package streams_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/streams"
)

var allStreams = []string{
	"AUDIT", "DEAD", "HELD", "HISTORY", "KV_claims", "KV_control", "KV_keys", "KV_orders", "KV_results", "KV_schedules", "KV_unique", "KV_workers", "SCHEDULES_0", "SCHEDULES_1", "SCHEDULES_2", "SCHEDULES_3", "TURNS",
	"TASKS_bulk", "TASKS_critical", "TASKS_default",
}

const (
	gib = 1 << 30
	day = 24 * time.Hour
)

func configs(t *testing.T, js jetstream.JetStream) map[string]jetstream.StreamConfig {
	t.Helper()
	all := map[string]jetstream.StreamConfig{}
	for info := range js.ListStreams(t.Context()).Info() {
		all[info.Config.Name] = info.Config
	}
	return all
}

// What docs/architecture.md says of streams and buckets is on the server.
func TestTopology(t *testing.T) {
	b := newBroker(t)
	open(t, b, streams.Config{MaxQueueBytes: 2 * gib})
	js := inspect(t, b)

	want := map[string]jetstream.StreamConfig{}
	bucket := func(name string, age time.Duration, more ...string) {
		want["KV_"+name] = jetstream.StreamConfig{
			Subjects: append([]string{"$KV." + name + ".>"}, more...), Discard: jetstream.DiscardNew, MaxAge: age, MaxBytes: -1,
			DenyDelete: true, AllowRollup: true, AllowMsgTTL: true,
		}
	}
	bucket("results", 7*day+time.Hour)
	bucket("claims", day)
	bucket("unique", 0)
	bucket("orders", 0, "order-events.>")
	bucket("schedules", 0)
	bucket("control", 0)
	bucket("keys", 0)
	bucket("workers", 15*time.Second)
	workers := want["KV_workers"]
	workers.Storage = jetstream.MemoryStorage
	want["KV_workers"] = workers
	for n := range 4 {
		shard := strconv.Itoa(n)
		want["SCHEDULES_"+shard] = jetstream.StreamConfig{
			Subjects: []string{"waiting." + shard + ".>", "schedules." + shard + ".>", "due." + shard + ".>"},
			MaxBytes: -1, AllowRollup: true, AllowMsgSchedules: true,
		}
	}
	turns := jetstream.StreamConfig{
		Subjects: []string{"turns.>"}, Storage: jetstream.MemoryStorage, MaxAge: time.Minute, MaxBytes: -1, AllowMsgTTL: true,
	}
	want["TURNS"] = turns
	want["HISTORY"] = jetstream.StreamConfig{Subjects: []string{"history.>"}, MaxAge: 90 * day, MaxBytes: 64 << 20, AllowMsgTTL: true}
	want["HELD"] = jetstream.StreamConfig{
		Subjects: []string{"held.>", "rates.>"}, Discard: jetstream.DiscardNew, MaxBytes: 2 * gib, AllowMsgTTL: true,
	}
	want["AUDIT"] = jetstream.StreamConfig{Subjects: []string{"audit.>"}, MaxAge: 90 * day, MaxBytes: -1, MaxMsgSize: 16 << 10, DenyDelete: true}
	want["DEAD"] = jetstream.StreamConfig{Subjects: []string{"dead.>"}, MaxAge: 90 * day, MaxBytes: -1}
	for _, q := range []string{"critical", "default", "bulk"} {
		want["TASKS_"+q] = jetstream.StreamConfig{Subjects: []string{"tasks." + q + ".>"}, Discard: jetstream.DiscardNew, MaxBytes: 2 * gib}
	}
	got := configs(t, js)
	for name, w := range want {
		w.Name, w.MaxMsgsPerSubject, w.Replicas, w.AllowDirect, w.AllowAtomicPublish = name, 1, 1, true, name != "TURNS"
		if name == "AUDIT" {
			w.MaxMsgsPerSubject = -1 // all of what was done
		}
		// Not what the choice is about: the server's defaults, and words.
		g := got[name]
		w.Description, w.MaxConsumers, w.MaxMsgs, w.MaxMsgSize = g.Description, g.MaxConsumers, g.MaxMsgs, g.MaxMsgSize
		w.Duplicates, w.ConsumerLimits, w.Metadata = g.Duplicates, g.ConsumerLimits, g.Metadata
		if diff := cmp.Diff(w, g); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("more streams than wanted: %v", got)
	}

	for _, q := range []string{"critical", "default", "bulk"} {
		consumer, err := js.Consumer(t.Context(), "TASKS_"+q, "workers")
		if err != nil {
			t.Fatal(err)
		}
		c := consumer.CachedInfo().Config
		if c.AckPolicy != jetstream.AckExplicitPolicy || c.AckWait != 30*time.Second || c.MaxDeliver != -1 || c.MaxAckPending != 20_000 || c.BackOff != nil {
			t.Errorf("consumer of %s: %+v", q, c)
		}
	}
}

func TestEnsureIsIdempotent(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	submit(t, store, newTask("kept"))
	js := inspect(t, b)
	before := configs(t, js)
	created := streamInfo(t, js, "TASKS_default").Created

	open(t, b, streams.Config{})
	if diff := cmp.Diff(before, configs(t, js)); diff != "" {
		t.Errorf("opening again changed (-before +after):\n%s", diff)
	}
	info := streamInfo(t, js, "TASKS_default")
	if !info.Created.Equal(created) || info.State.Msgs != 1 {
		t.Errorf("the log was made anew: created %s, then %s, with %d messages", created, info.Created, info.State.Msgs)
	}
}

func TestEnsureNeverShrinks(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	submit(t, store, newTask("kept"))
	js := inspect(t, b)
	enlarge := func(name string, change func(*jetstream.StreamConfig)) {
		cfg := streamInfo(t, js, name).Config
		change(&cfg)
		if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	enlarge("TASKS_default", func(c *jetstream.StreamConfig) { c.MaxBytes = 4 * gib })
	enlarge("TASKS_bulk", func(c *jetstream.StreamConfig) { c.MaxBytes = -1 })
	enlarge("DEAD", func(c *jetstream.StreamConfig) { c.MaxAge = 365 * day })
	enlarge("KV_results", func(c *jetstream.StreamConfig) { c.MaxAge = 0 })
	enlarge("KV_orders", func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "elsewhere.>") })

	// Another release that knows fewer queues and wants smaller ones.
	open(t, b, streams.Config{Queues: []string{"default", "mail"}, MaxQueueBytes: gib / 2})
	got := configs(t, js)
	for _, name := range append(allStreams, "TASKS_mail") {
		if _, ok := got[name]; !ok {
			t.Errorf("stream %s is gone", name)
		}
	}
	for name, size := range map[string]int64{"TASKS_default": 4 * gib, "TASKS_bulk": -1, "TASKS_critical": gib, "TASKS_mail": gib / 2} {
		if got[name].MaxBytes != size {
			t.Errorf("%s has %d bytes, want %d", name, got[name].MaxBytes, size)
		}
	}
	if got["DEAD"].MaxAge != 365*day || got["KV_results"].MaxAge != 0 {
		t.Errorf("ages: %v and %v", got["DEAD"].MaxAge, got["KV_results"].MaxAge)
	}
	if !slices.Contains(got["KV_orders"].Subjects, "elsewhere.>") {
		t.Errorf("subjects of the orders: %v", got["KV_orders"].Subjects)
	}
	if msgs := streamInfo(t, js, "TASKS_default").State.Msgs; msgs != 1 {
		t.Errorf("the log holds %d tasks, want 1", msgs)
	}

	open(t, b, streams.Config{MaxQueueBytes: 2 * gib})
	if size := configs(t, js)["TASKS_critical"].MaxBytes; size != 2*gib {
		t.Errorf("a queue did not grow as asked: %d bytes", size)
	}
}

func TestEnsureExplainsMismatches(t *testing.T) {
	for _, c := range []struct {
		setting string
		stream  jetstream.StreamConfig
	}{
		{"retention", jetstream.StreamConfig{Name: "TASKS_default", Subjects: []string{"tasks.default.>"}, Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew}},
		{"storage", jetstream.StreamConfig{Name: "KV_results", Subjects: []string{"$KV.results.>"}, Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew}},
		{"max messages per subject", jetstream.StreamConfig{Name: "KV_results", Subjects: []string{"$KV.results.>"}, MaxMsgsPerSubject: 5, Discard: jetstream.DiscardNew}},
		{"discard", jetstream.StreamConfig{Name: "TASKS_bulk", Subjects: []string{"tasks.bulk.>"}, MaxMsgsPerSubject: 1}},
		{"mirror", jetstream.StreamConfig{Name: "DEAD", Mirror: &jetstream.StreamSource{Name: "OTHER"}, MaxMsgsPerSubject: 1}},
	} {
		t.Run(c.setting, func(t *testing.T) {
			b := newBroker(t)
			js := inspect(t, b)
			before, err := js.CreateStream(t.Context(), c.stream)
			if err != nil {
				t.Fatal(err)
			}
			_, err = streams.Open(t.Context(), streams.Config{InProcess: b})
			mismatch, ok := errors.AsType[*streams.MismatchError](err)
			if !ok {
				t.Fatalf("got %v, want a MismatchError", err)
			}
			if mismatch.Stream != c.stream.Name || mismatch.Setting != c.setting {
				t.Errorf("it blames the %s of %s", mismatch.Setting, mismatch.Stream)
			}
			if s := err.Error(); !strings.Contains(s, c.stream.Name) || !strings.Contains(s, c.setting) || !strings.Contains(s, "delete it") {
				t.Errorf("no help to an operator: %s", s)
			}
			if diff := cmp.Diff(before.CachedInfo().Config, streamInfo(t, js, c.stream.Name).Config); diff != "" {
				t.Errorf("the stream was changed:\n%s", diff)
			}
		})
	}
}

func TestManyOpenAtOnce(t *testing.T) {
	b := newBroker(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
			if err != nil {
				t.Error(err)
				return
			}
			store.Close()
		})
	}
	all.Wait()
	got := configs(t, inspect(t, b))
	if len(got) != len(allStreams) {
		t.Errorf("%d streams, want %v", len(got), allStreams)
	}
}
