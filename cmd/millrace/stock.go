package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

type stockCmd struct {
	Set    stockSetCmd    `cmd:"" help:"Say how many of a SKU are on hand, and have it tracked."`
	Adjust stockAdjustCmd `cmd:"" help:"Add to what is on hand of a SKU, or take away, for a reason."`
	Get    stockGetCmd    `cmd:"" help:"Show the stock of a SKU."`
	List   stockListCmd   `cmd:"" help:"List the SKUs that are tracked."`
	Import stockImportCmd `cmd:"" help:"Say how many are on hand of the SKUs in a file, as in {\"sku\":\"85123A\",\"on_hand\":40}, one a line."`
}

func stockPath(sku string) string { return "/v1/stock/" + url.PathEscape(sku) }

type stockSetCmd struct {
	clientFlags
	SKU    string `arg:"" name:"sku" help:"The SKU."`
	OnHand int64  `arg:"" help:"How many were counted."`
}

// Run sets the stock and prints it.
func (c *stockSetCmd) Run(ctx context.Context, io stdio) error {
	return c.send(ctx, io, http.MethodPut, stockPath(c.SKU), fmt.Appendf(nil, `{"on_hand":%d}`, c.OnHand), nil)
}

type stockAdjustCmd struct {
	clientFlags
	SKU    string `arg:"" name:"sku" help:"The SKU."`
	Delta  int64  `arg:"" help:"How many came in, or went: \"-- -2\" for two that went."`
	Reason string `arg:"" help:"Why."`
	Key    string `name:"idempotency-key" help:"The same key with the same adjustment is done once, within a day."`
}

// Run adjusts the stock and prints it.
func (c *stockAdjustCmd) Run(ctx context.Context, io stdio) error {
	body, err := json.Marshal(struct {
		Delta  int64  `json:"delta"`
		Reason string `json:"reason"`
	}{c.Delta, c.Reason})
	if err != nil {
		return fmt.Errorf("adjustment: %w", err)
	}
	return c.send(ctx, io, http.MethodPost, stockPath(c.SKU)+"/adjust", body, keyHeader(c.Key))
}

type stockGetCmd struct {
	clientFlags
	SKU string `arg:"" name:"sku" help:"The SKU."`
}

// Run prints the stock.
func (c *stockGetCmd) Run(ctx context.Context, io stdio) error {
	return c.send(ctx, io, http.MethodGet, stockPath(c.SKU), nil, nil)
}

// send sends one request and prints the answer.
func (f clientFlags) send(ctx context.Context, io stdio, method, path string, body []byte, header http.Header) error {
	answer, err := f.call(ctx, method, path, body, header)
	if err != nil {
		return err
	}
	return f.show(io.out, answer)
}

type stockListCmd struct {
	clientFlags
	pageFlags
}

// listedStock is what the table shows of a SKU.
type listedStock struct {
	SKU                       string
	OnHand                    int64 `json:"on_hand"`
	Reserved, Available, Sold int64
	UpdatedAt                 time.Time `json:"updated_at"`
}

// Run lists page by page.
func (c *stockListCmd) Run(ctx context.Context, io stdio) error {
	list := newTable(io.out, c.JSON, "SKU", "ON HAND", "RESERVED", "AVAILABLE", "SOLD", "CHANGED")
	err := c.pages(ctx, io, "/v1/stock", "stock", url.Values{}, c.pageFlags, func(one json.RawMessage) error {
		var s listedStock
		if err := json.Unmarshal(one, &s); err != nil {
			return fmt.Errorf("the server's answer is no list of stock: %w", err)
		}
		n := func(n int64) string { return strconv.FormatInt(n, 10) }
		return list.add(one, shown(s.SKU, 64), n(s.OnHand), n(s.Reserved), n(s.Available), n(s.Sold), shownTime(&s.UpdatedAt))
	})
	if err != nil {
		return err
	}
	return list.end("No SKU is tracked. To track one: millrace stock set SKU ON-HAND")
}
