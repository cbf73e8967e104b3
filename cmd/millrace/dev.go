package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/gateway"
	"millrace/orders"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
)

// nodeFlags are what a node with all roles takes.
type nodeFlags struct {
	listenFlags
	queueFlags
	workerFlags
	orderFlags
	syncFlag
	metricsFlags
	traceFlags
	alertFlags
	DataDir  string   `help:"Where everything is kept (default: millrace-data under the user's state directory)." placeholder:"DIR"`
	NATSPort natsPort `name:"nats-port" help:"Loopback port of the embedded NATS server, for the nats command; 0 picks one, \"off\" opens none." default:"4222"`
}

type devCmd struct{ nodeFlags }

func (c *devCmd) Run(ctx context.Context, io stdio, called invocation, d declaration) error {
	n := node{called: called, flags: c.nodeFlags, declared: d, log: slog.New(millrace.LogHandler(slog.NewTextHandler(io.err, nil))), register: registerDemo}
	return stopped(ctx, n.run(ctx, func(n *node) { welcome(io.out, n) }))
}

type serveCmd struct{ nodeFlags }

func (c *serveCmd) Run(ctx context.Context, io stdio, called invocation, d declaration) error {
	log := slog.New(millrace.LogHandler(slog.NewJSONHandler(io.err, nil)))
	n := node{called: called, flags: c.nodeFlags, declared: d, log: log}
	return stopped(ctx, n.run(ctx, func(n *node) {
		log.Info("ready", "api", n.gateway.Addr().String(), "nats", n.server.ClientURL(), "data_dir", c.DataDir)
	}))
}

// node is a process with all roles and the server in it.
type node struct {
	called   invocation
	flags    nodeFlags
	declared declaration
	log      *slog.Logger
	register func(*processor.Processor) // more handlers; nil for none

	server    *embedded.Server
	store     *streams.Store
	gateway   *gateway.Gateway
	processor *processor.Processor
}

// run starts everything, calls ready, and stops everything when ctx ends: first
// what takes work and what does it, then where it is kept.
func (n *node) run(ctx context.Context, ready func(*node)) error {
	// Flags first: nothing is opened for one that is wrong.
	cfg, err := n.flags.store("millrace", n.flags.Sync, n.log)
	if err != nil {
		return err
	}
	processing, err := n.flags.processor(n.flags.queueFlags, n.log)
	if err != nil {
		return err
	}
	api, err := n.flags.gateway(n.log)
	if err != nil {
		return err
	}
	schedules, err := n.declared.schedules()
	if err != nil {
		return err
	}
	spans, exporting, err := n.flags.exporter(n.called, n.log)
	if err != nil {
		return err
	}
	processing.Spans, api.Spans = spans, spans
	if api.Disk, err = n.flags.disk(); err != nil {
		return err
	}
	server, err := embedded.Start(ctx, embedded.Config{
		DataDir: n.flags.DataDir, Port: int(n.flags.NATSPort), Sync: time.Duration(n.flags.Sync), Logger: n.log,
	})
	if err != nil {
		return err
	}
	defer server.Shutdown()
	n.server = server

	cfg.InProcess = server
	if n.store, err = streams.Open(ctx, cfg); err != nil {
		return err
	}
	defer n.store.Close()

	processing.BrokerRemembers = server.Remembers()
	n.processor = processor.New(n.store, processing)
	shop := orders.New(n.store, n.flags.orders(n.log))
	shop.Register(n.processor)
	book := scheduler.NewBook(n.store)
	if err := book.Install(ctx, orders.Reconciling()); err != nil {
		return err
	}
	if err := n.declared.reconcile(ctx, book, schedules); err != nil {
		return err
	}
	if n.register != nil {
		n.register(n.processor)
	}
	api.Ready, api.Orders = n.processor.Ready, shop
	if n.gateway, err = gateway.New(n.store, api); err != nil {
		return err
	}
	metrics, err := n.flags.bindMetrics(n.store, n.gateway, shop, spans, n.log)
	if err != nil {
		return err
	}
	watch, err := n.flags.watch(n.store, api.Disk, n.log)
	if err != nil {
		return err
	}
	reloads := n.called.reloading(n.store, n.log)
	ready(n)
	work := func(ctx context.Context) error {
		return together(ctx, n.gateway.Run, apart(n.processor.Run), scheduler.New(n.store, scheduler.Config{Spans: spans, Logger: n.log}).Run, reloads)
	}
	return observed(ctx, work, metrics, n.store.KeepHistory, watch, exporting)
}

func welcome(w io.Writer, n *node) {
	fmt.Fprintf(w, "Millrace is running.\n  API    http://%s   (described at /docs)\n", n.gateway.Addr())
	if url := n.server.ClientURL(); url != "" {
		fmt.Fprintf(w, "  NATS   %s   (look inside: nats stream ls)\n", url)
	}
	fmt.Fprintf(w, "  Try    curl -s http://%s/v1/tasks -H 'Content-Type: application/json' -d '{\"kind\":\"demo.echo\",\"args\":{\"hello\":\"world\"}}'\n"+
		"Ctrl-C stops.\n", n.gateway.Addr())
}
