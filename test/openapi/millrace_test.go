package openapi

import (
	"context"
	"net/http"
	"testing"

	"millrace/gateway"
	"millrace/orders"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// open starts a gateway and a worker, and returns the gateway's URL.
func open(t *testing.T) string {
	t.Helper()
	store, err := streams.Open(t.Context(), streams.Config{InProcess: broker.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	shop := orders.New(store, orders.Config{})
	g, err := gateway.New(store, gateway.Config{Listen: "127.0.0.1:0", Orders: shop, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	p := processor.New(store, processor.Config{})
	shop.Register(p)
	run(t, g.Run)
	run(t, p.Run)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return "http://" + g.Addr().String()
}

func run(t *testing.T, service func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
