package main

import (
	"context"
	"log/slog"

	"millrace"
	"millrace/gateway"
	"millrace/orders"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
)

type gatewayCmd struct {
	listenFlags
	queueFlags
	orderFlags
	brokerFlags
	syncFlag
	metricsFlags
	traceFlags
}

// Run serves the API until ctx ends.
func (c *gatewayCmd) Run(ctx context.Context, io stdio, called invocation) error {
	log := slog.New(millrace.LogHandler(slog.NewJSONHandler(io.err, nil)))
	cfg, err := c.gateway(log)
	if err != nil {
		return err
	}
	spans, exporting, err := c.exporter(called, log)
	if err != nil {
		return err
	}
	cfg.Spans = spans
	store, err := openStore(ctx, "gateway", c.queueFlags, c.brokerFlags, c.Sync, log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer store.Close()
	cfg.Orders = orders.New(store, c.orders(log))
	g, err := gateway.New(store, cfg)
	if err != nil {
		return err
	}
	metrics, err := c.bindMetrics(store, g, nil, spans, log)
	if err != nil {
		return err
	}
	reloads := called.reloading(store, log)
	log.Info("ready", "api", g.Addr().String(), "nats", c.redacted())
	return stopped(ctx, together(ctx, func(ctx context.Context) error { return observed(ctx, g.Run, metrics, store.KeepHistory, exporting) }, reloads))
}

type processorCmd struct {
	queueFlags
	workerFlags
	orderFlags
	brokerFlags
	syncFlag
	healthFlags
	metricsFlags
	traceFlags
	register func(*processor.Processor) // more handlers; nil for none
}

// Run carries out tasks until ctx ends.
func (c *processorCmd) Run(ctx context.Context, io stdio, called invocation) error {
	log := slog.New(millrace.LogHandler(slog.NewJSONHandler(io.err, nil)))
	spans, exporting, err := c.exporter(called, log)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, "processor", c.queueFlags, c.brokerFlags, c.Sync, log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer store.Close()
	cfg, err := c.processor(c.queueFlags, log)
	if err != nil {
		return err
	}
	cfg.Spans = spans
	p := processor.New(store, cfg)
	shop := orders.New(store, c.orders(log))
	shop.Register(p)
	if c.register != nil {
		c.register(p)
	}
	if err := scheduler.NewBook(store).Install(ctx, orders.Reconciling()); err != nil {
		return stopped(ctx, err)
	}
	health, err := c.bind(store, p.Ready, log)
	if err != nil {
		return err
	}
	metrics, err := c.bindMetrics(store, nil, shop, spans, log)
	if err != nil {
		return err
	}
	reloads := called.reloading(store, log)
	log.Info("ready", "nats", c.redacted(), "concurrency", c.Concurrency)
	return stopped(ctx, together(ctx, func(ctx context.Context) error {
		return observed(ctx, p.Run, health, metrics, store.KeepHistory, exporting)
	}, reloads))
}

type schedulerCmd struct {
	queueFlags
	brokerFlags
	syncFlag
	healthFlags
	metricsFlags
	traceFlags
	alertFlags
}

// Run sees to the declared schedules, and moves what is due until ctx ends.
func (c *schedulerCmd) Run(ctx context.Context, io stdio, called invocation, d declaration) error {
	log := slog.New(millrace.LogHandler(slog.NewJSONHandler(io.err, nil)))
	schedules, err := d.schedules()
	if err != nil {
		return err
	}
	spans, exporting, err := c.exporter(called, log)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, "scheduler", c.queueFlags, c.brokerFlags, c.Sync, log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer store.Close()
	if err := d.reconcile(ctx, scheduler.NewBook(store), schedules); err != nil {
		return stopped(ctx, err)
	}
	health, err := c.bind(store, nil, log)
	if err != nil {
		return err
	}
	watch, err := c.watch(store, nil, log)
	if err != nil {
		return err
	}
	metrics, err := c.bindMetrics(store, nil, nil, spans, log)
	if err != nil {
		return err
	}
	reloads := called.reloading(store, log)
	log.Info("ready", "nats", c.redacted())
	moving := scheduler.New(store, scheduler.Config{Spans: spans, Logger: log}).Run
	return stopped(ctx, together(ctx, func(ctx context.Context) error {
		return observed(ctx, moving, health, metrics, store.KeepHistory, watch, exporting)
	}, reloads))
}

func openStore(ctx context.Context, role string, q queueFlags, b brokerFlags, sync syncMode, log *slog.Logger) (*streams.Store, error) {
	cfg, err := q.store("millrace-"+role, sync, log)
	if err != nil {
		return nil, err
	}
	cfg.URL = b.NATS
	if cfg.Access, err = b.access(role); err != nil {
		return nil, err
	}
	return streams.Open(ctx, cfg)
}
