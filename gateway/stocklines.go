package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
	"millrace/orders"
)

const mediaLines = "application/x-ndjson"

type setStocksInput struct {
	RawBody []byte `contentType:"application/x-ndjson"`
}

type setStocksOutput struct {
	Status int
	Body   struct {
		Set    int         `json:"set" doc:"How many SKUs were set."`
		Failed int         `json:"failed" doc:"How many lines were not taken."`
		Errors []lineError `json:"errors" doc:"Why, for the first 1,000 of those."`
	}
}

// lineError says what is wrong with a line.
type lineError struct {
	Line    int    `json:"line" doc:"Counted from 1."`
	SKU     string `json:"sku,omitempty"`
	Message string `json:"message"`
}

// maxLineErrors bounds the answer: a short line can have a long error.
const maxLineErrors = 1000

// countBody is a line.
type countBody struct {
	SKU    string `json:"sku"`
	OnHand int64  `json:"on_hand"`
}

// stockLines sets the stock of many SKUs, a JSON object a line. Each line is on its
// own: one that is wrong keeps no other from being done.
type stockLines struct {
	orders  *orders.Orders
	schema  *huma.Schema
	schemas huma.Registry
}

func newStockLines(o *orders.Orders) *stockLines {
	schemas := huma.NewMapRegistry(schemaPrefix, schemaName) // its own: a line is no body
	return &stockLines{o, schemas.Schema(reflect.TypeFor[countBody](), false, ""), schemas}
}

func (l *stockLines) set(ctx context.Context, in *setStocksInput) (*setStocksOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	counts, lines, failed := l.read(in.RawBody)
	out := &setStocksOutput{Status: http.StatusOK}
	for i, err := range l.orders.SetStocks(ctx, counts) {
		switch {
		case err == nil:
			out.Body.Set++
		case errors.Is(err, millrace.ErrInvalid), errors.Is(err, millrace.ErrConflict):
			failed = append(failed, lineError{lines[i], clip(counts[i].SKU, maxValue), lineMessage(err)})
		default:
			return nil, err // some may be done: to send all of it again is safe
		}
	}
	if len(failed) > 0 {
		out.Status = http.StatusMultiStatus
	}
	slices.SortFunc(failed, func(a, b lineError) int { return a.Line - b.Line })
	out.Body.Failed, out.Body.Errors = len(failed), failed[:min(len(failed), maxLineErrors)]
	return out, nil
}

// read returns what there is to set, the line that each is on, and what is wrong with
// the others.
func (l *stockLines) read(body []byte) (counts []orders.Count, lines []int, failed []lineError) {
	failed = []lineError{} // an empty list, if there are none
	lineOf := map[string]int{}
	n := 0
	for line := range bytes.Lines(body) {
		n++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		count, err := l.readLine(line)
		if first, twice := lineOf[count.SKU]; err == nil && twice {
			err = fmt.Errorf("the SKU is on line %d already", first)
		}
		if err != nil {
			failed = append(failed, lineError{n, clip(count.SKU, maxValue), lineMessage(err)})
			continue
		}
		lineOf[count.SKU] = n
		counts, lines = append(counts, count), append(lines, n)
	}
	return counts, lines, failed
}

// readLine reads a line as strictly as any body. With an error it returns the SKU, if
// there is one.
func (l *stockLines) readLine(line []byte) (count orders.Count, err error) {
	tree, err := readJSON(line, viewOf(l.schema, l.schemas))
	if bad, ok := errors.AsType[*jsonError](err); ok {
		return count, fmt.Errorf("%s, at byte %d", bad.message, bad.offset)
	}
	found := &huma.ValidateResult{}
	huma.Validate(l.schemas, l.schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, tree, found)
	if len(found.Errors) == 0 {
		return count, decodeChecked(line, &count)
	}
	if members, ok := tree.(map[any]any); ok {
		count.SKU, _ = members["sku"].(string)
	}
	var messages []string
	for _, err := range found.Errors {
		if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			messages = append(messages, strings.TrimPrefix(shownLocation(d.Location)+": "+d.Message, ": "))
		}
	}
	return count, errors.New(strings.Join(messages, "; "))
}

// lineMessage is what is wrong with a line, without what its place says already.
func lineMessage(err error) string {
	message := err.Error()
	if violations, ok := errors.AsType[orders.Violations](err); ok {
		message = violations[0].Message
	}
	for _, prefix := range []string{"body.", millrace.ErrInvalid.Error() + ": ", millrace.ErrConflict.Error() + ": "} {
		message = strings.TrimPrefix(message, prefix)
	}
	return clip(message, maxMessage)
}
