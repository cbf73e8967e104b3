package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	After string `help:"Only what comes after this SKU."`
	Limit int    `help:"How many at most." default:"50"`
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
	query := url.Values{}
	if c.After != "" {
		query.Set("after", c.After)
	}
	list := newTable(io.out, c.JSON, "SKU", "ON HAND", "RESERVED", "AVAILABLE", "SOLD", "CHANGED")
	err := c.pages(ctx, "/v1/stock", "stock", "after", query, c.Limit, func(one json.RawMessage) error {
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

type stockImportCmd struct {
	clientFlags
	File string `arg:"" help:"The stock, one JSON object a line; \"-\" reads standard input."`
}

// How much is sent at once.
const (
	importLines = 500
	importBytes = 64 << 10
)

// Run sends the file in parts. To send it again does no harm.
func (c *stockImportCmd) Run(ctx context.Context, stdio stdio) error {
	in, _, err := openInput(c.File, stdio)
	if err != nil {
		return err
	}
	defer in.Close()
	r := stockReport{flags: c.clientFlags, out: stdio.out}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	var part bytes.Buffer
	first, number := 1, 0
	for lines.Scan() {
		number++
		part.Write(bytes.TrimPrefix(lines.Bytes(), []byte("\xef\xbb\xbf")))
		part.WriteByte('\n')
		if number-first+1 == importLines || part.Len() > importBytes {
			if err := r.send(ctx, part.Bytes(), first); err != nil {
				return err
			}
			part.Reset()
			first = number + 1
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: line %d: %w", c.File, number+1, err)
	}
	if part.Len() > 0 {
		if err := r.send(ctx, part.Bytes(), first); err != nil {
			return err
		}
	}
	return r.end()
}

// stockReport tells how an import goes.
type stockReport struct {
	flags       clientFlags
	out         io.Writer
	set, failed int
}

// send sends the part of the file that begins with that line.
func (r *stockReport) send(ctx context.Context, part []byte, first int) error {
	answer, err := r.flags.call(ctx, http.MethodPut, "/v1/stock", part, http.Header{"Content-Type": {"application/x-ndjson"}})
	if err != nil {
		return fmt.Errorf("from line %d on nothing was set; send the file again: %w", first, err)
	}
	var said struct {
		Set, Failed int
		Errors      []struct {
			Line         int
			SKU, Message string
		}
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return fmt.Errorf("the server's answer is no report: %w", err)
	}
	r.set, r.failed = r.set+said.Set, r.failed+said.Failed
	for _, e := range said.Errors {
		line := struct {
			Line  int    `json:"line"`
			SKU   string `json:"sku,omitempty"`
			Error string `json:"error"`
		}{first + e.Line - 1, e.SKU, e.Message}
		if r.flags.JSON {
			data, _ := json.Marshal(line) // strings and numbers always encode
			fmt.Fprintf(r.out, "%s\n", data)
		} else {
			fmt.Fprintf(r.out, "line %-5d %-20s %s\n", line.Line, shown(line.SKU, 40), shown(line.Error, 1000))
		}
	}
	return nil
}

func (r *stockReport) end() error {
	if r.flags.JSON {
		fmt.Fprintf(r.out, "{\"set\":%d,\"failed\":%d}\n", r.set, r.failed)
	} else {
		fmt.Fprintf(r.out, "%d SKUs set, %d lines refused.\n", r.set, r.failed)
	}
	if r.failed > 0 {
		return errReported
	}
	return nil
}
