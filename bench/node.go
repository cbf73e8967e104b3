package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"millrace/bench/load"
)

// What is measured of the command itself, as people start it.

// node starts "millrace dev" and returns where it will serve.
func (b *bench) node(ctx context.Context, c config) (*process, string, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	p, err := b.start(ctx, "millrace", func(dir string) []string {
		return []string{"dev", "--listen", addr, "--data-dir", dir, "--nats-port", "0", "--sync", c.sync}
	})
	return p, addr, err
}

// idle is the memory of a node that has nothing to do.
func idle(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	p, addr, err := b.node(ctx, c)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	conn, err := connect(ctx, addr)
	if err != nil {
		return nil, p.explain(err)
	}
	defer conn.Close()
	status, body, err := conn.Do(load.AppendGet(nil, "/readyz", ""))
	if err == nil {
		err = expect(http.StatusOK, status, body)
	}
	if err != nil {
		return nil, p.explain(err)
	}
	time.Sleep(b.scale.settle)
	mib, err := resident([]int{p.cmd.Process.Pid})
	return map[string]figures{"idle": {memory.name: mib}}, err
}

const order = `{"reference":"536365","customer_id":"17850","currency":"GBP","items":[{"sku":"85123A","quantity":6,"unit_price_minor":255}]}`

// coldStart is the time from the start of the process, on an empty directory, to
// the result of a first order.
func coldStart(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	start := time.Now()
	p, addr, err := b.node(ctx, c)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	conn, err := connect(ctx, addr)
	if err != nil {
		return nil, p.explain(err)
	}
	defer conn.Close()
	if err := placeOrder(conn); err != nil {
		return nil, p.explain(err)
	}
	return map[string]figures{"start": {seconds.name: time.Since(start).Seconds()}}, nil
}

func placeOrder(conn *load.Conn) error {
	status, body, err := conn.Do(load.Post("/v1/orders", []byte(order)))
	if err == nil {
		err = expect(http.StatusAccepted, status, body)
	}
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(body, []byte(`"task_id":"`))
	id, _, found := bytes.Cut(rest, []byte(`"`))
	if !found {
		return fmt.Errorf("no task_id in %.200s", body)
	}
	return awaitResult(conn, string(id))
}

// connect tries until the server listens.
func connect(ctx context.Context, addr string) (*load.Conn, error) {
	const patience = 30 * time.Second
	for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		conn, err := load.Dial(addr)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return nil, fmt.Errorf("nobody listens: %w", err)
		}
	}
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
