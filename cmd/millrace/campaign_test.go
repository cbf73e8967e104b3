package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// perOrder is how many messages are written for an order that is accepted: itself, and
// two events, that it was placed and that it awaits its payment.
const perOrder = 3

// campaign places orders, from many clients that try again until they are told
// that their order is accepted, while somebody kills processes.
type campaign struct {
	gateways []*client // any of them will do
	orders   int
	accepted atomic.Int64
	tries    atomic.Int64
	marks    []uint64 // the newest task at each kill
}

const buyers = 16

// buy places all orders. It returns when each is accepted.
func (c *campaign) buy(ctx context.Context) error {
	failed := make(chan error, c.orders)
	inParallel(buyers, c.orders, func(i int) {
		if err := c.place(ctx, i); err != nil {
			failed <- err
		}
		c.accepted.Add(1)
	})
	close(failed)
	return <-failed
}

func orderID(i int) string { return fmt.Sprintf("campaign-%05d", i) }

// cart is what order i is about, and what it costs. The same i is the same order.
func cart(i int) (body string, total int64) {
	random := rand.New(rand.NewPCG(uint64(i), 2010))
	var items []string
	for n := range 1 + random.IntN(5) {
		quantity, price := 1+random.Int64N(50), 1+random.Int64N(10_000)
		total += quantity * price
		items = append(items, fmt.Sprintf(`{"sku":"SKU %d","description":"Line %d","quantity":%d,"unit_price_minor":%d}`, random.IntN(9), n, quantity, price))
	}
	return fmt.Sprintf(`{"order_id":%q,"reference":"%d","currency":"GBP","items":[%s]}`, orderID(i), i, strings.Join(items, ",")), total
}

// place tries until order i is accepted. Whatever goes wrong on the way, nothing
// but a 5xx may be said of it.
func (c *campaign) place(ctx context.Context, i int) error {
	body, _ := cart(i)
	for try := i; ; try++ {
		c.tries.Add(1)
		r, err := c.gateways[try%len(c.gateways)].send(ctx, http.MethodPost, "/v1/orders", body)
		if err == nil && r.status == http.StatusAccepted {
			return nil
		}
		if err == nil && r.status < 500 {
			return fmt.Errorf("order %d: %s", i, r)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("order %d: %s, %w", i, r, errors.Join(err, ctx.Err()))
		}
	}
}

// until waits for so many accepted orders, and for all tasks that came before the
// kill before the last to be done: else one may be under way at every kill, and in
// the end it is given up for killing its workers, as it should be.
func (c *campaign) until(t *testing.T, accepted int, broker inspector) {
	t.Helper()
	eventually(t, func() error {
		if n := c.accepted.Load(); int(n) < accepted {
			return fmt.Errorf("%d orders of %d are accepted", n, accepted)
		}
		newest, done, err := broker.progress(t.Context())
		if err != nil {
			return err
		}
		if n := len(c.marks); n > 1 && done < c.marks[n-2] {
			return fmt.Errorf("%d tasks of %d are done", done, c.marks[n-2])
		}
		c.marks = append(c.marks, newest)
		return nil
	})
}

// verify checks that each order is there, was carried out exactly once, and costs
// what it should; and that nothing was written twice.
func (c *campaign) verify(t *testing.T, broker inspector) {
	t.Helper()
	var lost, repeated atomic.Int64
	var worst atomic.Int64
	inParallel(buyers, c.orders, func(i int) {
		gateway := c.gateways[i%len(c.gateways)]
		order, err := gateway.decided(t.Context(), orderID(i))
		if err != nil {
			t.Error(err)
			return
		}
		_, total := cart(i)
		if order.State != "awaiting_payment" || order.TotalMinor != total || len(order.History) != 2 ||
			order.History[0].State != "placed" || order.History[1].State != "awaiting_payment" {
			t.Errorf("order %s, of %d: %+v", order.ID, total, order)
		}
		task, err := gateway.finished(t.Context(), order.ID+"-placed")
		if err != nil {
			t.Error(err)
			return
		}
		if task.State != "succeeded" || successes(task) != 1 {
			t.Errorf("task %s: %+v", task.ID, task)
		}
		if task.Lost > 0 {
			lost.Add(1)
			worst.Store(max(worst.Load(), int64(task.Lost)))
		}
		repeated.Add(int64(len(task.Attempts) - 1))
	})
	t.Logf("%d orders in %d requests; %d tasks lost a worker (one of them %d), %d attempts failed", c.orders, c.tries.Load(), lost.Load(), worst.Load(), repeated.Load())
	if s, want := broker.state(t, "KV_orders"), perOrder*uint64(c.orders); s.LastSeq != want || s.Msgs != want {
		t.Errorf("%d orders and their events were written as %d, and %d are kept", c.orders, s.LastSeq, s.Msgs)
	}
	if s := broker.state(t, "DEAD"); s.LastSeq != 0 {
		t.Errorf("%d tasks are dead", s.LastSeq)
	}
}

func successes(task shownTask) (n int) {
	for _, a := range task.Attempts {
		if a.Error == "" {
			n++
		}
	}
	return n
}

// seeded returns a source of chance that can be had again: the seed is logged.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// scale is how many orders and kills a campaign has.
func scale() (orders, kills int) {
	if testing.Short() {
		return 300, 4
	}
	return 2000, 20
}
