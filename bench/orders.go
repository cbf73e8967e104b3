package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"millrace/bench/load"
	"millrace/bench/workload"
)

// What is measured of the order service.

// shopWorkers is how many workers deal with orders, each with a connection of its own.
const shopWorkers = 4

// onSale is how many of the goods there are that everybody wants.
const onSale = 1000

// flash places orders of the same goods, of which there are too few, and stops the
// clock when all are decided. Exactly as many as there are goods must have got them.
func flash(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	n := b.scale.orders
	return placeAll(ctx, b, c, "flash", onSale, []string{workload.FlashSKU}, workload.FlashOrder, min(n, onSale))
}

// sample is where the invoices are, from the benchmark's own directory.
const sample = "../orders/testdata/online-retail-sample.ndjson"

// ordinary places orders of five goods each, of which there are enough.
func ordinary(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	goods, err := workload.ReadGoods(sample)
	if err != nil {
		return nil, err
	}
	return placeAll(ctx, b, c, "ordinary", 1_000_000, goods.SKUs(), goods.OrdinaryOrder, b.scale.orders)
}

func placeAll(ctx context.Context, b *bench, c config, name string, onHand int, skus []string, order func(int) []byte, accepted int) (map[string]figures, error) {
	found, err := b.with(ctx, c, func(sys *system) (figures, error) {
		if err := sys.Stock(onHand, skus); err != nil {
			return nil, err
		}
		if err := sys.Shop(shopWorkers); err != nil {
			return nil, err
		}
		requests := make([][]byte, b.scale.orders)
		for i := range requests {
			requests[i] = load.Post("/v1/orders", order(i))
		}
		m, err := sys.meter()
		if err != nil {
			return nil, err
		}
		start := time.Now()
		run := load.Closed{
			Addr: sys.Addr, Connections: 256, Count: len(requests),
			Request: func(_ []byte, i int) []byte { return requests[i] },
			Check:   func(_, status int, body []byte) error { return expect(http.StatusAccepted, status, body) },
		}
		result, err := run.Run()
		if err != nil {
			return nil, err
		}
		// Each decision ends a task.
		if err := sys.Await(len(requests)); err != nil {
			return nil, err
		}
		result.Took = time.Since(start)
		found, err := m.figures(result)
		if err != nil {
			return nil, err
		}
		return found, checkDecided(sys.Addr, len(requests), accepted)
	})
	return map[string]figures{name: found}, err
}

// checkDecided asks for every order, and counts those that wait for their payment.
func checkDecided(addr string, n, accepted int) error {
	var got, rejected atomic.Int64
	check := load.Closed{
		Addr: addr, Connections: 64, Count: n,
		Request: func(buf []byte, i int) []byte { return load.AppendGet(buf, "/v1/orders/", workload.OrderID(i)) },
		Check: func(_, status int, body []byte) error {
			switch {
			case bytes.Contains(body, []byte(`"state":"awaiting_payment","total_minor"`)):
				got.Add(1)
			case bytes.Contains(body, []byte(`"state":"rejected","total_minor"`)):
				rejected.Add(1)
			default:
				return fmt.Errorf("not decided: %.300s", body)
			}
			return expect(http.StatusOK, status, body)
		},
	}
	result, err := check.Run()
	if err != nil {
		return err
	}
	if result.Errors > 0 {
		return fmt.Errorf("%d orders, the first: %w", result.Errors, result.Err)
	}
	if int(got.Load()) != accepted || int(rejected.Load()) != n-accepted {
		return fmt.Errorf("%d orders were accepted and %d rejected, of %d that could be accepted", got.Load(), rejected.Load(), accepted)
	}
	return nil
}

// orderRate is how many orders a second are placed while many watch.
const orderRate = 200

// watchers lets many clients watch all orders, and finds out how long after it
// happened each sees what happens.
func watchers(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found := map[string]figures{}
	_, err := b.with(ctx, c, func(sys *system) (figures, error) {
		if err := sys.Shop(1); err != nil {
			return nil, err
		}
		watching, err := load.Watch{Addr: sys.Addr, Path: "/v1/orders/events", Clients: b.scale.watchers}.Start()
		if err != nil {
			return nil, err
		}
		run := load.Open{Addr: sys.Addr, Connections: 16, Rate: orderRate, Count: b.scale.watched, Job: func(conn *load.Conn, i int) error {
			status, body, err := conn.Do(load.Post("/v1/orders", workload.FlashOrder(i)))
			if err == nil {
				err = expect(http.StatusAccepted, status, body)
			}
			return err
		}}
		placed, err := run.Run()
		if err == nil {
			err = placed.Err
		}
		// Each order is placed, and then waits for its payment.
		for deadline := time.Now().Add(10 * time.Second); err == nil && watching.Seen() < 2*b.scale.watched; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				err = fmt.Errorf("a client has seen %d of %d events", watching.Seen(), 2*b.scale.watched)
			}
		}
		mib, failed := resident(sys.PIDs)
		seen := watching.Stop()
		if err = errors.Join(err, failed, seen.Err); err != nil {
			return nil, err
		}
		if seen.Answers != 2*b.scale.watched*b.scale.watchers {
			return nil, fmt.Errorf("%d events were seen by %d clients, of %d", seen.Answers, b.scale.watchers, 2*b.scale.watched)
		}
		found["watch"] = figures{
			p50.name: inMilliseconds(seen.Latency.Quantile(0.50)), p99.name: inMilliseconds(seen.Latency.Quantile(0.99)),
		}
		found["watchMemory"] = figures{memory.name: mib}
		return nil, nil
	})
	return found, err
}
