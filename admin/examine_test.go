package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
	"millrace/admin"
	"millrace/streams"
	"millrace/test/broker"
)

// want looks for a finding of that level and check that says so.
func want(t *testing.T, all []admin.Finding, level admin.Level, check, says string) {
	t.Helper()
	for _, f := range all {
		if f.Level == level && f.Check == check && strings.Contains(f.Says, says) && (level == admin.OK || f.Do != "" || check == "streams") {
			return
		}
	}
	t.Errorf("nothing says %s %s …%s… in %+v", level, check, says, all)
}

func TestExamineHealthy(t *testing.T) {
	b := broker.New(t)
	store(t, b)
	js := broker.Inspect(t, b)
	before := states(t, js)
	found := open(t, b).Examine(t.Context(), admin.Examination{})
	if worst := admin.Worst(found); worst != admin.OK {
		t.Errorf("worst is %s in %+v", worst, found)
	}
	for _, check := range []string{"broker", "store", "sync", "streams", "clock", "permissions"} {
		want(t, found, admin.OK, check, "")
	}
	if diff := cmp.Diff(before, states(t, js)); diff != "" {
		t.Errorf("it changed something:\n%s", diff)
	}
}

// states are the streams with their consumers, as far as using them changes them.
func states(t *testing.T, js jetstream.JetStream) map[string]any {
	t.Helper()
	all := map[string]any{}
	for s := range js.ListStreams(t.Context()).Info() {
		all[s.Config.Name] = []any{s.Config, s.State}
		stream, err := js.Stream(t.Context(), s.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		for c := range stream.ListConsumers(t.Context()).Info() {
			all[s.Config.Name+" "+c.Name] = []any{c.Config, c.Delivered.Stream, c.AckFloor.Stream, c.NumAckPending, c.NumPending}
		}
	}
	return all
}

func TestExamineEmpty(t *testing.T) {
	found := open(t, broker.New(t)).Examine(t.Context(), admin.Examination{})
	want(t, found, admin.Warn, "streams", "none of the")
	if worst := admin.Worst(found); worst != admin.Warn {
		t.Errorf("worst is %s", worst)
	}
}

// Each thing that somebody may have done to the broker is told of.
func TestExamineTampered(t *testing.T) {
	b := broker.New(t)
	store(t, b).Close()
	js, ctx := broker.Inspect(t, b), t.Context()
	alter := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	alter(js.DeleteConsumer(ctx, "TASKS_bulk", "workers"))
	alter(js.DeleteStream(ctx, "KV_claims"))
	alter(js.DeleteStream(ctx, "KV_unique"))
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KV_unique", Subjects: []string{"$KV.unique.>"}, Retention: jetstream.WorkQueuePolicy})
	alter(err)
	update := func(name string, change func(*jetstream.StreamConfig)) {
		t.Helper()
		s, err := js.Stream(ctx, name)
		alter(err)
		cfg := s.CachedInfo().Config
		change(&cfg)
		_, err = js.UpdateStream(ctx, cfg)
		alter(err)
	}
	update("TASKS_default", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 })
	update("DEAD", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	update("TASKS_critical", func(c *jetstream.StreamConfig) { c.MaxBytes = 8 << 30 }) // larger is an operator's right
	movers, err := js.Consumer(ctx, "SCHEDULES_1", "movers")
	alter(err)
	cfg := movers.CachedInfo().Config
	cfg.MaxDeliver = 3
	_, err = js.UpdateConsumer(ctx, "SCHEDULES_1", cfg)
	alter(err)
	_, err = js.PauseConsumer(ctx, "TASKS_default", "workers", time.Now().Add(time.Hour))
	alter(err)
	_, err = js.Publish(ctx, "tasks.default.x.y", make([]byte, 900<<10))
	alter(err)

	found := open(t, b).Examine(ctx, admin.Examination{})
	want(t, found, admin.Warn, "consumers", "consumer workers of TASKS_bulk is missing")
	want(t, found, admin.Warn, "streams", "stream KV_claims is missing")
	want(t, found, admin.Fail, "streams", "KV_unique exists with retention")
	want(t, found, admin.Warn, "streams", "stream TASKS_default: max bytes 1048576, planned 1073741824")
	want(t, found, admin.Warn, "streams", "stream TASKS_default is 88 % full")
	want(t, found, admin.Warn, "streams", "stream DEAD: max age 1h0m0s, planned 2160h0m0s")
	want(t, found, admin.Warn, "consumers", "consumer movers of SCHEDULES_1: max deliver 3, planned -1")
	want(t, found, admin.Warn, "consumers", "consumer workers of TASKS_default is paused for ")
	for _, f := range found {
		if strings.Contains(f.Says, "TASKS_critical") {
			t.Errorf("%+v", f)
		}
	}
}

// The consumer of a queue is further than its log: what comes now is never delivered.
func TestExamineConsumerAhead(t *testing.T) {
	b := broker.New(t)
	s := store(t, b)
	if err := s.Submit(t.Context(), millrace.RawTask{ID: "a", Kind: "demo.echo", Queue: "default", SubmittedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	js := broker.Inspect(t, b)
	consumer, err := js.Consumer(t.Context(), "TASKS_default", "workers")
	if err != nil {
		t.Fatal(err)
	}
	cfg := consumer.CachedInfo().Config
	cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, 11
	if err := js.DeleteConsumer(t.Context(), "TASKS_default", "workers"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it can be made anew", func() bool {
		_, err := js.CreateConsumer(t.Context(), "TASKS_default", cfg)
		return err == nil
	})
	found := open(t, b).Examine(t.Context(), admin.Examination{})
	want(t, found, admin.Fail, "consumers", "consumer workers is ahead of its stream TASKS_default: it was given up to 10, and the stream ends at 1")
}

// A user who may not do everything is told what not, for the role that it is to play.
func TestExaminePermissions(t *testing.T) {
	ns, err := server.NewServer(&server.Options{
		ServerName: "elsewhere", Host: "127.0.0.1", Port: -1, HTTPHost: "127.0.0.1", HTTPPort: -1, JetStream: true, StoreDir: t.TempDir(), SyncInterval: time.Minute, NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "all", Password: "x"}, {Username: "some", Password: "x", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{">"}, Deny: []string{"$JS.API.CONSUMER.MSG.NEXT.*.movers", "$KV.claims.>", "$JS.API.STREAM.NAMES"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "millrace.settings", "millrace.keys", "millrace.cancel.*", "millrace.turn"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer func() { ns.Shutdown(); ns.WaitForShutdown() }()
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	url := func(user string) string { return strings.Replace(ns.ClientURL(), "://", "://"+user+":x@", 1) }
	s, err := streams.Open(t.Context(), streams.Config{URL: url("all")})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	examine := func(user string, what admin.Examination) []admin.Finding {
		t.Helper()
		b, err := admin.Open(t.Context(), streams.Config{URL: url(user)})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		return b.Examine(t.Context(), what)
	}
	monitor := "http://" + ns.MonitorAddr().String()
	found := examine("all", admin.Examination{Monitor: monitor})
	want(t, found, admin.OK, "permissions", "every role")
	want(t, found, admin.Warn, "sync", "every 1m0s")
	want(t, examine("all", admin.Examination{}), admin.Warn, "sync", "does not tell its clients")
	want(t, examine("all", admin.Examination{Monitor: "http://127.0.0.1:1"}), admin.Warn, "sync", "refused")

	wantRefused(t, examine("some", admin.Examination{Role: "processor"}), "subscribe to millrace.worker.~doctor.stop")
	wantRefused(t, examine("some", admin.Examination{Role: "scheduler"}), "publish $JS.API.CONSUMER.MSG.NEXT.SCHEDULES_0.movers")
	wantRefused(t, examine("some", admin.Examination{Role: "gateway"}), "publish $KV.claims.~doctor", "subscribe to $KV.results.~doctor")
	if _, err := admin.Open(t.Context(), streams.Config{URL: strings.Replace(url("all"), ":x@", ":y@", 1)}); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(nats.ErrAuthorization.Error())) {
		t.Errorf("wrong password: %v", err)
	}
}

func wantRefused(t *testing.T, found []admin.Finding, refused ...string) {
	t.Helper()
	var got []string
	for _, f := range found {
		if f.Level == admin.Fail {
			what, _ := strings.CutPrefix(f.Says, "this user may not ")
			what, _, _ = strings.Cut(what, ",")
			got = append(got, what)
		}
	}
	if diff := cmp.Diff(refused, got); diff != "" {
		t.Errorf("refused: -want +got\n%s", diff)
	}
}
