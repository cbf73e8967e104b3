package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/jsm.go"
	"github.com/nats-io/nats.go"
)

type permission struct{ what, subject, who string }

// permitted says for what each user is allowed to publish, and who else is not: g for
// the gateway, p for the processor, s for the scheduler, o for the operator. The
// administrator may do all of it, and somebody without a name nothing.
var permitted = []permission{
	{"submit a task", "tasks.default.mail-send.1", "gps"},
	{"submit a task for later", "waiting.0.a1.1790000000.1", "gps"},
	{"wake the schedulers at a second", "schedules.0.second.1790000000", "gps"},
	{"arm a schedule", "schedules.0.named.nightly", "gps"},
	{"say that something is due", "due.0.second.1790000000", ""},
	{"bring what a pause has put off", "due.0.resumed.mail-send", "gp"},
	{"take a task", "$JS.API.CONSUMER.MSG.NEXT.TASKS_default.workers", "gp"},
	{"acknowledge a task", "$JS.ACK.TASKS_default.workers.1.1.1.1790000000000000000.0", "gp"},
	{"take what is due", "$JS.API.CONSUMER.MSG.NEXT.SCHEDULES_0.movers", "s"},
	{"acknowledge what is due", "$JS.ACK.SCHEDULES_0.movers.1.1.1.1790000000000000000.0", "s"},
	{"write a record", "$KV.results.1", "gps"},
	{"note where a queue is", "$KV.results.floor.default", "p"},
	{"bury a task", "dead.default.mail-send.1", "ps"},
	{"stand in line for a limit", "held.kind-mail-send.1", "gps"},
	{"count the rate of a limit", "rates.begun.kind-mail-send", "gps"},
	{"claim an idempotency key", "$KV.claims.1", "g"},
	{"take a unique key", "$KV.unique.1", "gp"},
	{"change an order or stock", "$KV.orders.order.1", "gp"},
	{"tell of an order", "order-events.1.1", "gp"},
	{"take a turn at the orders", "turns.1", "gp"},
	{"write a schedule", "$KV.schedules.nightly", "gps"},
	{"change limits, routes and pauses", "$KV.control.settings", "g"},
	{"make a key of the API", "$KV.keys.key.web", "g"},
	{"say that keys have changed", "millrace.keys", "g"},
	{"write down who did what", "audit.pause.bulk", "g"},
	{"note what is wrong", "$KV.control.alerts", "s"},
	{"write down what was done", "history.minute.1.1", "gps"},
	{"say that they have changed", "millrace.settings", "g"},
	{"call off a task that runs", "millrace.cancel.1", "gps"},
	{"command a worker", "millrace.worker.1.stop", "g"},
	{"report as a worker", "$KV.workers.1", "p"},
	{"ask which workers there are", "$SRV.PING.millrace-worker", "o"},
	{"answer the gateway", "_INBOX.gateway.1", "p"},
	{"answer a worker", "_INBOX.processor.1", ""},
	{"answer a scheduler", "_INBOX.scheduler.1", ""},

	{"look at a stream", "$JS.API.STREAM.INFO.TASKS_default", "gpso"},
	{"list the streams", "$JS.API.STREAM.LIST", "o"},
	{"look at a consumer", "$JS.API.CONSUMER.INFO.TASKS_default.workers", "gpso"},
	{"list the consumers", "$JS.API.CONSUMER.LIST.TASKS_default", "gso"},
	{"read a record", "$JS.API.DIRECT.GET.KV_results", "gpso"},
	{"read an order", "$JS.API.DIRECT.GET.KV_orders", "gpo"},
	{"read an idempotency key", "$JS.API.DIRECT.GET.KV_claims", "go"},
	{"read keys of the API", "$JS.API.DIRECT.GET.KV_keys", "go"},
	{"read who did what", "$JS.API.DIRECT.GET.AUDIT", "go"},
	{"forget who did what", "$JS.API.STREAM.PURGE.AUDIT", ""},
	{"read it of the leader", "$JS.API.STREAM.MSG.GET.KV_claims", "go"},

	{"add a queue", "$JS.API.STREAM.CREATE.TASKS_more", "gs"},
	{"change a queue's stream", "$JS.API.STREAM.UPDATE.TASKS_default", "gs"},
	{"change another stream", "$JS.API.STREAM.UPDATE.KV_results", "s"},
	{"remove a queue", "$JS.API.STREAM.DELETE.TASKS_default", "g"},
	{"delete the orders", "$JS.API.STREAM.DELETE.KV_orders", ""},
	{"delete the dead", "$JS.API.STREAM.DELETE.DEAD", ""},
	{"delete what waits", "$JS.API.STREAM.DELETE.SCHEDULES_0", ""},
	{"take a snapshot", "$JS.API.STREAM.SNAPSHOT.TASKS_default", ""},
	{"put one back", "$JS.API.STREAM.RESTORE.TASKS_default", ""},
	{"move a stream's leader", "$JS.API.STREAM.LEADER.STEPDOWN.TASKS_default", ""},
	{"make a queue's consumer", "$JS.API.CONSUMER.CREATE.TASKS_more.workers", "gs"},
	{"make a consumer of a log", "$JS.API.CONSUMER.CREATE.TASKS_default.mine", "g"},
	{"make a consumer the old way", "$JS.API.CONSUMER.DURABLE.CREATE.TASKS_default.mine", ""},
	{"delete a queue's consumer", "$JS.API.CONSUMER.DELETE.TASKS_default.workers", ""},
	{"delete the schedulers' consumer", "$JS.API.CONSUMER.DELETE.SCHEDULES_0.movers", ""},
	{"read the feed", "$JS.API.CONSUMER.CREATE.KV_orders.mine.order-events.>", "gp"},
	{"pause a queue's consumer", "$JS.API.CONSUMER.PAUSE.TASKS_default.workers", "g"},
	{"empty a queue", "$JS.API.STREAM.PURGE.TASKS_default", "gps"},
	{"empty the dead", "$JS.API.STREAM.PURGE.DEAD", "gps"},
	{"empty the orders", "$JS.API.STREAM.PURGE.KV_orders", "p"},
	{"empty the records", "$JS.API.STREAM.PURGE.KV_results", ""},
	{"empty the settings", "$JS.API.STREAM.PURGE.KV_control", ""},
	{"empty the idempotency keys", "$JS.API.STREAM.PURGE.KV_claims", ""},
	{"remove one of the dead", "$JS.API.STREAM.MSG.DELETE.DEAD", "gps"},
	{"remove a task from its log", "$JS.API.STREAM.MSG.DELETE.TASKS_default", "gps"},
	{"remove a record", "$JS.API.STREAM.MSG.DELETE.KV_results", ""},
	{"speak of something else", "hello", ""},
	{"ask the server about itself", "$SYS.REQ.SERVER.PING", ""},
}

// overheard is the same of what one may listen to.
var overheard = []permission{
	{"the gateway's answers", "_INBOX.gateway.x.*", "g"},
	{"a worker's answers", "_INBOX.processor.x.*", "p"},
	{"a scheduler's answers", "_INBOX.scheduler.x.*", "s"},
	{"an operator's answers", "_INBOX.operator.x.*", "o"},
	{"everybody's answers", "_INBOX.>", ""},
	{"everything", ">", ""},
	{"what is submitted", "tasks.>", ""},
	{"the orders", "$KV.orders.>", ""},
	{"the events of orders", "order-events.>", "o"},
	{"the end of a task", "$KV.results.*", "go"},
	{"that settings have changed", "millrace.settings", "gps"},
	{"what is called off", "millrace.cancel.*", "p"},
	{"commands to a worker", "millrace.worker.1.stop", "p"},
	{"what the server does", "$JS.EVENT.ADVISORY.>", ""},
	{"requests to JetStream", "$JS.API.>", ""},
}

// TestPermitted is the table of users by what they do. There is no stream on the server,
// so that nothing comes of what is allowed.
func TestPermitted(t *testing.T) {
	b := guardedBroker(t)
	for _, user := range natsUsers {
		t.Run(user, func(t *testing.T) {
			refused := map[string]bool{}
			c := b.connect(t, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if what, subject, ok := strings.Cut(err.Error(), ` to "`); ok && errors.Is(err, nats.ErrPermissionViolation) {
					refused[what[strings.LastIndexByte(what, ' ')+1:]+" "+strings.TrimSuffix(subject, `"`)] = true
				}
			}))
			for _, p := range permitted {
				if err := c.Publish(p.subject, nil); err != nil {
					t.Fatal(err)
				}
			}
			for _, o := range overheard {
				if _, err := c.SubscribeSync(o.subject); err != nil {
					t.Fatal(err)
				}
			}
			c.finish(t)
			for how, rows := range map[string][]permission{"Publish": permitted, "Subscription": overheard} {
				for _, row := range rows {
					// By their first letters, of which admin's is in no row.
					may := user == "admin" && !strings.HasPrefix(row.subject, "$SYS") || strings.Contains(row.who, user[:1])
					if refused[how+" "+row.subject] == may && row.subject != "$SYS.REQ.SERVER.PING" {
						t.Errorf("%s: %s should be %v", row.what, row.subject, may)
					}
				}
			}
		})
	}
	for _, url := range []string{b.url, strings.Replace(b.url, "//", "//gateway:wrong@", 1), strings.Replace(b.url, "//", "//nobody:x@", 1)} {
		if nc, err := nats.Connect(url); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s is let in: %v", url, err)
			nc.Close()
		}
	}
}

// guardedBroker is one that lives no longer than the test.
func guardedBroker(t *testing.T) *broker {
	t.Helper()
	b, err := startGuardedBroker(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.kill)
	return b
}

// guest is a connection of one of the users.
type guest struct {
	*nats.Conn
	closed chan struct{}
}

func (b *broker) connect(t *testing.T, user string, opts ...nats.Option) guest {
	t.Helper()
	closed := make(chan struct{})
	opts = append(opts, nats.UserInfo(user, natsPassword(user)), nats.CustomInboxPrefix("_INBOX."+user), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	nc, err := nats.Connect(b.url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return guest{nc, closed}
}

// finish returns when all was sent, and all that the server said of it was heard.
func (g guest) finish(t *testing.T) {
	t.Helper()
	if err := g.Flush(); err != nil {
		t.Fatal(err)
	}
	g.Close() // the handlers are called in order, and this one's last
	<-g.closed
}

// An operator sees everything with the nats command, which is built on jsm.go, and can
// change nothing.
func TestOperatorLooksOnly(t *testing.T) {
	b := guardedBroker(t)
	var api *client
	for _, role := range []string{"gateway", "processor", "scheduler"} {
		p := &process{name: "millrace", dir: t.TempDir(), env: []string{"MILLRACE_NATS_PASSWORD=" + natsPassword(role)}}
		p.args = []string{role, "--nats", b.url, "--nats-user", role}
		switch role {
		case "gateway":
			p.args = append(p.args, "--listen", "127.0.0.1:0")
		case "processor":
			p.name = "millrace-demo"
		}
		t.Cleanup(p.kill)
		if err := p.launch(); err != nil {
			t.Fatal(err)
		}
		p.says(t, isReady)
		if role == "gateway" {
			api = newClient(t, p.says(t, apiAddress))
		}
	}
	id := api.submit(t, `{"kind":"demo.echo","args":"hello"}`)
	if _, err := api.finished(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	o := b.connect(t, "operator")
	manager, err := jsm.New(o.Conn)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := manager.StreamNames(nil); err != nil || len(names) < 15 {
		t.Errorf("the streams are %v, %v", names, err)
	}
	if _, err := manager.LoadConsumer("TASKS_default", "workers"); err != nil {
		t.Error(err)
	}
	results, err := manager.LoadStream("KV_results")
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := results.ReadLastMessageForSubject("$KV.results." + id); err != nil || !strings.Contains(string(msg.Data), `"hello"`) {
		t.Errorf("the record is %v, %v", msg, err)
	}
	if answer, err := o.Request("$SRV.PING.millrace-worker", nil, patience); err != nil || !strings.Contains(string(answer.Data), "millrace-worker") {
		t.Errorf("a worker answers %v, %v", answer, err)
	}
	if refused := b.violations(); len(refused) > 0 {
		t.Errorf("somebody wanted what he may not:\n%s", strings.Join(refused, "\n"))
	}
	if err := results.Purge(); err == nil {
		t.Error("an operator can empty the records")
	}
}
