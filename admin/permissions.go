package admin

import (
	"errors"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// need is something that a role sends to the broker.
type need struct {
	roles   string
	subject string
}

// The roles, as flags have them.
const (
	roleGateway   = "gateway"
	roleProcessor = "processor"
	roleScheduler = "scheduler"
)

const everyRole = roleGateway + " " + roleProcessor + " " + roleScheduler

// needs are of the queue. Each is sent so that it does nothing (see try), and where the
// broker would have to be trusted with that, it is of a stream that is not there.
func needs(queue string) []need {
	log := "TASKS_" + queue
	return []need{
		{everyRole, "$JS.API.INFO"},
		{everyRole, "$JS.API.STREAM.INFO." + log},
		{everyRole, "$JS.API.CONSUMER.INFO." + log + ".workers"},
		{everyRole, "$JS.API.STREAM.MSG.GET.KV_results"},
		{everyRole, "$JS.API.DIRECT.GET.KV_results"},
		{everyRole, "$JS.API.STREAM.PURGE." + nowhere},
		{everyRole, "tasks." + queue + "." + nobody + "." + nobody},
		{everyRole, "waiting.0.00.0." + nobody},
		{everyRole, "schedules.0.second.0"},
		{everyRole, "schedules.0.task." + nobody},
		{everyRole, "schedules.0.named." + nobody},
		{everyRole, "held." + nobody + "." + nobody},
		{everyRole, "rates." + nobody},
		{everyRole, "$KV.results." + nobody},
		{everyRole, "$KV.schedules." + nobody},
		{roleGateway, "$KV.claims." + nobody},
		{roleGateway, "$KV.control." + "settings"},
		{roleGateway, "$KV.keys." + nobody},
		{roleGateway, "audit." + nobody + "." + nobody},
		{roleGateway, "millrace.keys"},
		{roleGateway + " " + roleProcessor, "$KV.unique." + nobody},
		{roleGateway + " " + roleProcessor, "$KV.orders." + nobody},
		{roleGateway + " " + roleProcessor, "order-events." + nobody + ".1"},
		{roleGateway + " " + roleProcessor, "turns." + nobody},
		{roleProcessor, "$KV.workers." + nobody},
		{roleProcessor + " " + roleScheduler, "dead." + queue + "." + nobody + "." + nobody},
		{roleProcessor, "$JS.API.CONSUMER.MSG.NEXT." + log + ".workers"},
		{roleProcessor, "$JS.ACK." + log + ".workers.0.0.0.0.0"},
		{roleScheduler, "$JS.API.CONSUMER.MSG.NEXT.SCHEDULES_0.movers"},
		{roleScheduler, "$JS.ACK.SCHEDULES_0.movers.0.0.0.0.0"},
		{roleScheduler, "$JS.API.STREAM.CREATE." + nowhere},
		{roleScheduler, "$JS.API.STREAM.UPDATE." + nowhere},
		{roleGateway, "$JS.API.STREAM.CREATE." + nowhere},
		{everyRole, "millrace.cancel." + nobody},
	}
}

// hears are what the roles listen to, besides the answers to what they ask.
var hears = []need{
	{everyRole, "millrace.settings"},
	{roleGateway, "millrace.keys"},
	{roleGateway, "$KV.results." + nobody},
	{roleGateway + " " + roleProcessor, "millrace.turn"},
	{roleProcessor, "millrace.cancel." + nobody},
	{roleProcessor, "millrace.worker." + nobody + ".stop"},
}

const (
	nobody  = "~doctor" // no task, order or worker is called so
	nowhere = "DOCTOR"  // nor any stream
)

// examinePermissions tries what the role needs, every role if it is empty.
func (b *Broker) examinePermissions(r *report, role string) {
	whose := "every role"
	if role != "" {
		whose = "a " + role
	}
	var refused []string
	tried := 0
	heard := append(slices.Clone(hears), need{everyRole, b.nc.NewRespInbox()})
	for _, attempt := range []struct {
		what string
		try  func(subject string) error
		all  []need
	}{{"publish", b.tryPublish, needs(b.queue())}, {"subscribe to", b.trySubscribe, heard}} {
		for _, n := range attempt.all {
			if role != "" && !slices.Contains(strings.Fields(n.roles), role) {
				continue
			}
			tried++
			if err := attempt.try(n.subject); err != nil {
				refused = append(refused, attempt.what+" "+n.subject)
			}
		}
	}
	slices.Sort(refused)
	for _, s := range refused {
		r.fail("permissions", "permit it in the server's configuration", "this user may not %s, which %s needs", s, whose)
	}
	if len(refused) == 0 {
		r.ok("permissions", "this user may do what %s needs (%d things tried)", whose, tried)
	}
}

// queue is one that is there in any case.
func (b *Broker) queue() string {
	if len(b.cfg.Queues) > 0 {
		return b.cfg.Queues[0]
	}
	return "default"
}

// tryPublish reports whether the server lets us publish there. No stream takes the
// message, since it is said to be for another one; and the API takes it for a request
// that is none.
func (b *Broker) tryPublish(subject string) error {
	msg := nats.NewMsg(subject)
	msg.Data = []byte("{")
	msg.Header.Set("Nats-Expected-Stream", nowhere)
	if err := b.nc.PublishMsg(msg); err != nil {
		return err
	}
	return b.refused("publish", subject)
}

func (b *Broker) trySubscribe(subject string) error {
	sub, err := b.nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	err = b.refused("subscription", subject)
	_ = sub.Unsubscribe() // it ends with the connection at the latest
	return err
}

// refused returns what the server said of what was sent last, if anything: it answers a
// ping after that.
func (b *Broker) refused(what, subject string) error {
	if err := b.nc.FlushTimeout(answerWithin); err != nil {
		return err
	}
	err := b.nc.LastError()
	if errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(what+` to "`+subject+`"`)) {
		return err
	}
	return nil
}
