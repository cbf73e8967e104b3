package main

import (
	"context"
	"log/slog"

	"millrace/gateway"
	"millrace/streams"
)

// healthFlags are for roles without the API, which has the same answers.
type healthFlags struct {
	HealthListen string `help:"Address of /healthz and /readyz, as in 127.0.0.1:8081; \"off\" for none." default:"off"`
}

// bind binds the address, and returns what answers there, nil if it is to be nobody.
// Ready is what must be so besides the broker.
func (f healthFlags) bind(store *streams.Store, ready func() error, log *slog.Logger) (answer service, err error) {
	if f.HealthListen == "off" || f.HealthListen == "" {
		return nil, nil
	}
	h, err := gateway.NewHealth(store, gateway.Config{Listen: f.HealthListen, Ready: ready, Version: version(), Logger: log})
	if err != nil {
		return nil, err
	}
	log.Info("tells how it is", "health", h.Addr().String())
	return h.Run, nil
}

// observed runs what works, and beside it what answers for it, as far as there is that. Whoever
// asks is answered until the work has stopped, which may take its grace.
func observed(ctx context.Context, work service, answers ...service) error {
	answering, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	services := []service{func(ctx context.Context) error { defer done(); return work(ctx) }}
	for _, answer := range answers {
		if answer != nil {
			services = append(services, func(context.Context) error { return answer(answering) })
		}
	}
	return together(ctx, services...)
}
