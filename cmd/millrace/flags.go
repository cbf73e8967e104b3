package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace"
	"millrace/gateway"
	"millrace/orders"
	"millrace/processor"
	"millrace/streams"
)

// The flags that several roles share.

type queueFlags struct {
	Queue    []string      `help:"A queue and its weight, or \"strict\" to be served before all others." default:"critical:6,default:3,bulk:1" placeholder:"NAME[:WEIGHT]"`
	Route    []string      `help:"Where tasks go that name no queue, by kind; the first match wins, the rest goes to \"default\"." placeholder:"KINDS=QUEUE"`
	Limit    []string      `sep:"none" help:"How many tasks of a queue, kind or key may run at once over all workers, or begin in a time, as in \"kind:mail.*=5\", \"kind:mail.send=100/s\", \"key:customer:*=1,10/m\" or \"queue:bulk=20\"; of those for one name the first counts. Every role needs the same." placeholder:"SCOPE:NAMES=LIMIT"`
	QueueMB  count         `name:"queue-mb" help:"How large the log of one queue may grow, in MiB; then it refuses work." default:"1024"`
	Replicas count         `help:"How many servers of a cluster keep each stream." default:"1"`
	AckWait  time.Duration `help:"How long a worker may be silent about a task before another one gets it; the same for all processes." default:"30s"`

	DeadRetention deadRetention `help:"How long tasks that failed for good are kept, at least 1h, or \"forever\"; the same for all processes." default:"2160h"`
}

type listenFlags struct {
	Listen  string `help:"Address of the HTTP API." default:"127.0.0.1:8080"`
	MaxBody count  `help:"The most bytes that the body of a request may have." default:"262144"`
	MaxBulk count  `name:"max-bulk-mb" help:"The most MiB that the body of a bulk submission may have." default:"64"`
	webhookFlags
	admissionFlags
}

// webhookFlags are how secrets come in. All processes of a machine see what is on a
// command line, but not what is in a file, or in the environment.
type webhookFlags struct {
	PaymentWebhookSecret     []string `help:"What the payment provider signs its webhooks with; twice while one replaces the other. Safer in the environment, or in a file." placeholder:"whsec_…"`
	PaymentWebhookSecretFile string   `help:"A file with such secrets, one a line." placeholder:"FILE"`
}

type workerFlags struct {
	Serve       []string `help:"The queues that this worker takes tasks from (default: all of them, also those that are added later)." placeholder:"NAME"`
	Concurrency count    `help:"How many handlers run at once." default:"64"`
	Grace       grace    `help:"How long running handlers may go on after the first Ctrl-C." default:"30s"`
	CancelGrace grace    `help:"How long a handler may take to notice that its task was cancelled, before its place is given to another." default:"10s"`
}

type orderFlags struct {
	PaymentTime    period    `help:"How long an order waits for its payment before it expires. This and the next three must be the same for all processes." default:"30m"`
	UntrackedStock string    `help:"What becomes of an order of goods that have no stock record: \"accept\" or \"reject\"." enum:"accept,reject" default:"accept"`
	OrderRetention retention `help:"How long closed orders are kept, such as 8760h, or \"forever\". Orders with a refund due are kept in any case." default:"forever"`
	Fulfil         string    `help:"Who says that a paid order is fulfilled: \"auto\" for a worker at once, \"elsewhere\" for a worker of your own that handles the kind order.fulfil, \"hand\" for whoever calls the API." enum:"auto,elsewhere,hand" default:"auto"`
}

func (f orderFlags) orders(log *slog.Logger) orders.Config {
	return orders.Config{
		PaymentTime: time.Duration(f.PaymentTime), RejectUntracked: f.UntrackedStock == "reject",
		Retention: time.Duration(f.OrderRetention), ByHand: f.Fulfil == "hand", Elsewhere: f.Fulfil == "elsewhere", Logger: log,
	}
}

type syncFlag struct {
	Sync syncMode `help:"When the server writes to disk: \"always\" before it answers, or at an interval such as 1s, which is faster and can lose that much at a power cut." default:"always"`
}

// count is a number from 1. Zero would be taken for the default, which is not what
// it says.
type count int

func (c *count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a number from 1", text)
	}
	*c = count(n)
	return nil
}

// grace is how long to wait at most. Zero is the shortest time, for the same reason.
type grace time.Duration

func (g *grace) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a time such as 30s, or 0s", text)
	}
	*g = grace(max(d, 1))
	return nil
}

// period is a time that something takes. The broker's shortest is a second.
type period time.Duration

func (p *period) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < time.Second || d > maxPeriod {
		return fmt.Errorf("%q is not a time of 1s to %s", text, maxPeriod)
	}
	*p = period(d)
	return nil
}

// maxPeriod is as far ahead as a task may wait.
const maxPeriod = 366 * 24 * time.Hour

// retention is for how long something is kept: zero for good.
type retention time.Duration

func (r *retention) UnmarshalText(text []byte) error {
	if string(text) == "forever" {
		*r = 0
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < time.Second {
		return fmt.Errorf(`%q is neither "forever" nor a time from 1s`, text)
	}
	*r = retention(d)
	return nil
}

// deadRetention is for how long dead tasks are kept: negative for good, since for the
// store zero is the default.
type deadRetention time.Duration

func (r *deadRetention) UnmarshalText(text []byte) error {
	if string(text) == "forever" {
		*r = -1
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < time.Hour {
		return fmt.Errorf(`%q is neither "forever" nor a time from 1h`, text)
	}
	*r = deadRetention(d)
	return nil
}

// syncMode is how often the store is synced: zero for every write.
type syncMode time.Duration

func (m *syncMode) UnmarshalText(text []byte) error {
	if string(text) == "always" {
		*m = 0
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 10*time.Millisecond || d > time.Hour {
		return fmt.Errorf(`%q is neither "always" nor an interval of 10ms to 1h`, text)
	}
	*m = syncMode(d)
	return nil
}

// natsPort is the port of the embedded server: -1 for none, 0 for a free one.
type natsPort int

func (p *natsPort) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*p = -1
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil {
		return fmt.Errorf(`%q is neither "off" nor a port of 0 to 65535`, text)
	}
	*p = natsPort(n)
	return nil
}

// queues reads the queue flags: the names, and each queue's share.
func (f queueFlags) queues() (names []string, shares []processor.Queue, err error) {
	for _, spec := range f.Queue {
		name, weight, weighted := strings.Cut(spec, ":")
		q := processor.Queue{Name: name, Weight: 1, Strict: weight == "strict"}
		if weighted && !q.Strict {
			if q.Weight, err = strconv.Atoi(weight); err != nil || q.Weight < 1 {
				return nil, nil, fmt.Errorf(`--queue %s: the weight must be a number from 1, or "strict"`, spec)
			}
		}
		names = append(names, name)
		shares = append(shares, q)
	}
	return names, shares, nil
}

func (f queueFlags) store(name string, sync syncMode, log *slog.Logger) (streams.Config, error) {
	names, _, err := f.queues()
	if err != nil {
		return streams.Config{}, err
	}
	cfg := streams.Config{
		Name: name, Queues: names, MaxQueueBytes: int64(f.QueueMB) << 20, Replicas: int(f.Replicas), AckWait: f.AckWait,
		DeadRetention: time.Duration(f.DeadRetention),
		Async:         sync != 0, Logger: log,
	}
	if cfg.Limits, err = f.limits(); err != nil {
		return streams.Config{}, err
	}
	cfg.Routes, err = f.routes()
	return cfg, err
}

func (f queueFlags) limits() ([]millrace.Limit, error) {
	var limits []millrace.Limit
	for _, spec := range f.Limit {
		l, err := millrace.ParseLimit(spec)
		if err != nil {
			return nil, fmt.Errorf("--limit: %w", err)
		}
		limits = append(limits, l)
	}
	return limits, nil
}

func (f queueFlags) routes() ([]millrace.Route, error) {
	var routes []millrace.Route
	for _, spec := range f.Route {
		r, err := millrace.ParseRoute(spec)
		if err != nil {
			return nil, fmt.Errorf("--route: %w", err)
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func (f listenFlags) gateway(log *slog.Logger) (gateway.Config, error) {
	secrets, err := f.secrets()
	if err != nil {
		return gateway.Config{}, err
	}
	cfg := gateway.Config{Listen: f.Listen, BodyLimit: int(f.MaxBody), BulkLimit: int64(f.MaxBulk) << 20, PaymentSecrets: secrets, Version: version(), Logger: log}
	return cfg, f.guard(&cfg)
}

func (f webhookFlags) secrets() ([]string, error) {
	if f.PaymentWebhookSecretFile == "" {
		return f.PaymentWebhookSecret, nil
	}
	data, err := os.ReadFile(f.PaymentWebhookSecretFile)
	if err != nil {
		return nil, fmt.Errorf("--payment-webhook-secret-file: %w", err)
	}
	lines := strings.Fields(string(data))
	if len(lines) == 0 {
		// Whoever names a file means to have a secret.
		return nil, fmt.Errorf("--payment-webhook-secret-file: %s is empty", f.PaymentWebhookSecretFile)
	}
	return append(lines, f.PaymentWebhookSecret...), nil
}

func (f workerFlags) processor(q queueFlags, log *slog.Logger) (processor.Config, error) {
	_, shares, err := q.queues()
	cfg := processor.Config{
		Concurrency: int(f.Concurrency), Grace: time.Duration(f.Grace), CancelGrace: time.Duration(f.CancelGrace),
		Queues: shares, Added: len(f.Serve) == 0, Version: version(), Logger: log,
	}
	if len(f.Serve) > 0 {
		cfg.Queues = nil
	}
	for _, name := range f.Serve {
		share := processor.Queue{Name: name}
		if i := slices.IndexFunc(shares, func(q processor.Queue) bool { return q.Name == name }); i >= 0 {
			share = shares[i]
		}
		cfg.Queues = append(cfg.Queues, share)
	}
	return cfg, err
}
