package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
)

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
	r := stockReport{flags: c.clientFlags, out: stdio.out, lineOf: map[string]int{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	var part bytes.Buffer
	first, number := 1, 0
	for lines.Scan() {
		number++
		if line := bytes.TrimPrefix(lines.Bytes(), []byte("\xef\xbb\xbf")); !r.twice(line, number) {
			part.Write(line)
		}
		part.WriteByte('\n') // also of a line that is left out: the lines are counted
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
	lineOf      map[string]int // where a SKU came first, in any part
	refused     []refusedStock // of the part that is sent next
}

// refusedStock is a line that is not taken, and what --json prints of it.
type refusedStock struct {
	Line  int    `json:"line"`
	SKU   string `json:"sku,omitempty"`
	Error string `json:"error"`
}

// twice refuses a line whose SKU an earlier line has: which of the two counts was meant,
// nobody knows.
func (r *stockReport) twice(line []byte, number int) bool {
	var count struct{ SKU string }
	if json.Unmarshal(line, &count) != nil || count.SKU == "" {
		return false // the server says what is wrong with it
	}
	first, twice := r.lineOf[count.SKU]
	if twice {
		r.refused = append(r.refused, refusedStock{number, count.SKU, fmt.Sprintf("the SKU is on line %d already", first)})
	} else {
		r.lineOf[count.SKU] = number
	}
	return twice
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
	r.set, r.failed = r.set+said.Set, r.failed+said.Failed+len(r.refused)
	for _, e := range said.Errors {
		r.refused = append(r.refused, refusedStock{first + e.Line - 1, e.SKU, e.Message})
	}
	slices.SortFunc(r.refused, func(a, b refusedStock) int { return a.Line - b.Line })
	for _, line := range r.refused {
		if r.flags.JSON {
			data, _ := json.Marshal(line) // strings and numbers always encode
			fmt.Fprintf(r.out, "%s\n", data)
		} else {
			fmt.Fprintf(r.out, "line %-5d %-20s %s\n", line.Line, shown(line.SKU, 40), shown(line.Error, 1000))
		}
	}
	r.refused = nil
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
