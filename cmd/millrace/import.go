package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"millrace"
)

type orderImportCmd struct {
	clientFlags
	File     string `arg:"" help:"The orders, one JSON object a line; \"-\" reads standard input."`
	Parallel int    `help:"How many orders are placed at once. With 1 they are placed in the order of the file." default:"1"`
}

// imported is what became of one line, and what --json prints of it.
type imported struct {
	Line      int    `json:"line"`
	Reference string `json:"reference"`
	OrderID   string `json:"order_id,omitempty"`
	TaskID    string `json:"task_id,omitempty"`
	Error     string `json:"error,omitempty"`
}

// Run places the orders of a file. Each has an id derived from its reference (from
// its text, if it has none), so the same file again makes no second order.
func (c *orderImportCmd) Run(ctx context.Context, stdio stdio) error {
	if c.Parallel < 1 || c.Parallel > 256 {
		return fmt.Errorf("--parallel must be 1 to 256, not %d", c.Parallel)
	}
	in, size, err := openInput(c.File, stdio)
	if err != nil {
		return err
	}
	defer in.Close()
	c.keep(c.Parallel)
	r := newReport(c.JSON, stdio, size)
	lines := make(chan orderLine)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var placing sync.WaitGroup
	for range c.Parallel {
		placing.Go(func() {
			for l := range lines {
				result, err := c.place(ctx, l)
				if err != nil {
					stop(err)
					continue
				}
				r.add(result, l.end)
			}
		})
	}
	readErr := readOrders(ctx, in, lines)
	close(lines)
	placing.Wait()
	r.finish()
	switch {
	case readErr != nil:
		return fmt.Errorf("read %s: %w", c.File, readErr)
	case ctx.Err() != nil:
		return fmt.Errorf("stopped after %d lines; run it again to go on, nothing is placed twice: %w", r.accepted+len(r.refused), context.Cause(ctx))
	case len(r.refused) > 0:
		return errReported
	}
	return nil
}

func openInput(path string, stdio stdio) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(stdio.in), 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// orderLine is one line of the file that is not blank.
type orderLine struct {
	number    int
	end       int64 // how many bytes of the file have been read with it
	data      []byte
	reference string
	id        string
	bad       error
}

// maxLine is the longest line that is read; the server's own limit is lower.
const maxLine = 16 << 20

func readOrders(ctx context.Context, in io.Reader, lines chan<- orderLine) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	seen := map[string]int{} // lines without a reference, by their text
	var end int64
	number := 1
	for ; scanner.Scan(); number++ {
		end += int64(len(scanner.Bytes())) + 1
		data := bytes.TrimSpace(bytes.TrimPrefix(scanner.Bytes(), []byte("\xef\xbb\xbf")))
		if len(data) == 0 {
			continue
		}
		l := parseLine(bytes.Clone(data), seen)
		l.number, l.end = number, end
		select {
		case lines <- l:
		case <-ctx.Done():
			return nil
		}
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d has more than %d MiB", number, maxLine>>20)
	}
	return scanner.Err()
}

// parseLine finds the reference and gives the order its id. An id of the file's
// own stays.
func parseLine(data []byte, seen map[string]int) orderLine {
	l := orderLine{data: data}
	var order map[string]json.RawMessage
	if err := json.Unmarshal(data, &order); err != nil {
		l.bad = errors.New(`the line is no JSON object, as in {"reference": "1001", "currency": "GBP", "items": [...]}`)
		return l
	}
	// A reference that is no text is the server's to refuse.
	_ = json.Unmarshal(order["reference"], &l.reference)
	if own, ok := order["order_id"]; ok {
		if s := string(own); s != `""` && s != "null" {
			return l
		}
		delete(order, "order_id")
		data, _ = json.Marshal(order) // what was decoded encodes
	}
	if l.reference != "" {
		l.id = millrace.DeriveID("order", l.reference)
	} else {
		// The same line twice is two orders; the same file twice is not.
		seen[string(data)]++
		l.id = millrace.DeriveID("order line", string(data), strconv.Itoa(seen[string(data)]))
	}
	open := bytes.IndexByte(data, '{') + 1
	separator := ","
	if len(order) == 0 {
		separator = ""
	}
	l.data = fmt.Appendf(nil, `%s"order_id":%q%s%s`, data[:open], l.id, separator, data[open:])
	return l
}

// How long to go on when the server cannot take an order right now.
const (
	placeTries   = 6
	placePause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
)

// place places one order, trying again while the server is busy: the id makes that
// safe. The error is for what concerns every line.
func (c *orderImportCmd) place(ctx context.Context, l orderLine) (imported, error) {
	result := imported{Line: l.number, Reference: l.reference}
	if l.bad != nil {
		result.Error = l.bad.Error()
		return result, nil
	}
	pause := placePause
	for try := 1; ; try++ {
		answer, err := c.call(ctx, http.MethodPost, "/v1/orders", l.data, nil)
		if err == nil {
			var placed struct {
				OrderID string `json:"order_id"`
				TaskID  string `json:"task_id"`
			}
			if err := json.Unmarshal(answer, &placed); err != nil {
				return result, fmt.Errorf("the server's answer is no order: %w", err)
			}
			result.OrderID, result.TaskID = placed.OrderID, placed.TaskID
			return result, nil
		}
		var refused *problem
		if errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests {
			result.Error = refused.Error()
			return result, nil
		}
		if ctx.Err() != nil || try == placeTries {
			return result, err
		}
		if refused != nil {
			pause = max(pause, refused.retryAfter)
		}
		select {
		case <-time.After(min(pause, longestPause)):
		case <-ctx.Done():
		}
		pause *= 2
	}
}
