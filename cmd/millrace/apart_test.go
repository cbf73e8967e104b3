package main

import (
	"context"
	"fmt"
	"regexp"
	"testing"
	"time"
)

// startGateway starts a gateway of that broker, on a port that it comes back to.
func startGateway(t *testing.T, b *broker, flags ...string) (*process, *client) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := start(t, "millrace", append([]string{"gateway", "--nats", b.url, "--listen", address}, flags...)...)
	p.says(t, apiAddress)
	return p, newClient(t, address)
}

func startProcessor(t *testing.T, b *broker, flags ...string) *process {
	t.Helper()
	p := start(t, "millrace", append([]string{"processor", "--nats", b.url}, flags...)...)
	p.says(t, isReady)
	return p
}

// TestKilledApart kills gateways, processors and the server between them, twenty
// times, while orders come in. Not all of them are up again when the next is
// killed, except the server.
func TestKilledApart(t *testing.T) {
	orders, kills := scale()
	chance := seeded(t)
	b := startBroker(t)
	broker := inspect(t, b.url)
	type part struct {
		*process
		ready *regexp.Regexp
		kills int
	}
	parts := []*part{{process: b.process, ready: serverReady}}
	c := &campaign{orders: orders}
	for range 2 {
		gateway, api := startGateway(t, b, "--ack-wait", "1s")
		c.gateways = append(c.gateways, api)
		parts = append(parts, &part{process: gateway, ready: apiAddress})
		parts = append(parts, &part{process: startProcessor(t, b, "--ack-wait", "1s"), ready: isReady})
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	bought := make(chan error, 1)
	go func() { bought <- c.buy(ctx) }()
	for k := range kills {
		c.until(t, orders*k/kills+chance.IntN(orders/kills), broker)
		victim := parts[chance.IntN(len(parts))]
		victim.kills++
		victim.kill()
		if err := victim.launch(); err != nil {
			t.Fatal(err)
		}
		if victim.process == b.process {
			victim.says(t, victim.ready)
		}
	}
	if err := <-bought; err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		t.Logf("killed %d times: %s", p.kills, p)
		p.says(t, p.ready)
	}
	c.verify(t, broker)
}
