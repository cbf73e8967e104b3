package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
)

type orderCmd struct {
	Place  orderPlaceCmd  `cmd:"" help:"Place an order."`
	Get    orderGetCmd    `cmd:"" help:"Show an order."`
	List   orderListCmd   `cmd:"" help:"List orders, the one placed last first. One that no worker has come to yet is not listed."`
	Pay    orderPayCmd    `cmd:"" help:"Record that an order was paid."`
	Cancel orderCancelCmd `cmd:"" help:"Call an order off that is not paid; its stock returns. Exits 1 if it is too late."`
	Fulfil orderFulfilCmd `cmd:"" help:"Say of orders that are paid that their goods were sent."`
	Watch  orderWatchCmd  `cmd:"" help:"Show what happens to orders, as it happens."`
	Import orderImportCmd `cmd:"" help:"Place the orders in a file, one JSON object a line."`
}

type orderPlaceCmd struct {
	clientFlags
	File string `arg:"" help:"The order as JSON; \"-\" reads standard input."`
	Key  string `name:"idempotency-key" help:"The same key with the same order is done once, within a day."`
}

// Run places the order and prints what the API says of it.
func (c *orderPlaceCmd) Run(ctx context.Context, io stdio) error {
	data, err := readInput(c.File, io)
	if err != nil {
		return err
	}
	answer, err := c.call(ctx, http.MethodPost, "/v1/orders", data, keyHeader(c.Key))
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

func readInput(path string, stdio stdio) ([]byte, error) {
	if path == "-" {
		data, err := io.ReadAll(stdio.in)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return data, nil
	}
	return os.ReadFile(path)
}

type orderGetCmd struct {
	clientFlags
	ID string `arg:"" help:"The order's id."`
}

// Run prints the order.
func (c *orderGetCmd) Run(ctx context.Context, io stdio) error {
	answer, err := c.call(ctx, http.MethodGet, orderPath(c.ID), nil, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}
