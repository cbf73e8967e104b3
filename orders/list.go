package orders

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"millrace"
	"millrace/streams"
)

// Query says which orders to list. An empty field matches any.
type Query struct {
	State      State
	CustomerID string
	Reference  string
	// RefundDue, if it is not nil, is whether a payment has to be paid back.
	RefundDue *bool
	// Limit is how many at most.
	Limit int
	// After is where the page before ended; empty for the first one.
	After string
}

// Summary is an order as a list shows it, without its lines, which may be many.
type Summary struct {
	ID         string    `json:"id"`
	Reference  string    `json:"reference"`
	CustomerID string    `json:"customer_id"`
	State      State     `json:"state"`
	Currency   string    `json:"currency"`
	TotalMinor int64     `json:"total_minor"`
	RefundDue  bool      `json:"refund_due" doc:"A payment has to be paid back."`
	PlacedAt   time.Time `json:"placed_at"`
	UpdatedAt  time.Time `json:"updated_at" doc:"When something happened to it last."`
}

// A page is looked for in steps of so many orders, which are read at once, and in so
// many steps at most.
const (
	listStep  = 50
	listSteps = 64
)

// List returns the orders that match a query, the one first that a worker came to
// last, and where the next page begins, empty behind the last one. A page may have
// fewer orders than asked for, even none, and not be the last: of a long list only so
// much is looked at for one page.
//
// Where an order is in the list never changes: page by page each is seen once, as it
// stands then, whatever comes or happens meanwhile. An order that no worker has come
// to is not in it. Errors wrap [millrace.ErrInvalid], for an After that is none, or
// [millrace.ErrUnavailable].
func (o *Orders) List(ctx context.Context, q Query) (page []Summary, next string, err error) {
	before, err := q.position()
	if err != nil {
		return nil, "", err
	}
	for range listSteps {
		firsts, rest, err := o.bucket.FirstEvents(ctx, before, listStep, q.mayMatch)
		if err != nil {
			return nil, "", err
		}
		found, err := o.bucket.Read(ctx, orderKeys(firsts))
		if err != nil {
			return nil, "", err
		}
		for _, f := range firsts {
			order := leafOf[Order](found[orderKey(f.OrderID)])
			if !order.there || order.err != nil || !q.matches(order.value) {
				continue // also if it is not kept any more
			}
			page = append(page, summaryOf(order.value))
			if len(page) == q.Limit {
				return page, q.cursor(f.Sequence), nil
			}
		}
		if before = rest; before == 0 {
			return page, "", nil
		}
		if len(firsts) < listStep {
			break // it was far to those
		}
	}
	return page, q.cursor(before), nil
}

func orderKeys(firsts []streams.First) []string {
	keys := make([]string, len(firsts))
	for i, f := range firsts {
		keys[i] = orderKey(f.OrderID)
	}
	return keys
}

// mayMatch leaves out what the order's first event tells to be another's, so that
// those orders need not be read.
func (q Query) mayMatch(f streams.First) bool {
	if q.CustomerID == "" && q.Reference == "" {
		return true
	}
	var n Notice
	return json.Unmarshal(f.Data, &n) == nil && q.isOf(n.CustomerID, n.Reference)
}

func (q Query) isOf(customerID, reference string) bool {
	return (q.CustomerID == "" || q.CustomerID == customerID) && (q.Reference == "" || q.Reference == reference)
}

func (q Query) matches(o Order) bool {
	return q.isOf(o.CustomerID, o.Reference) && (q.State == "" || q.State == o.State) &&
		(q.RefundDue == nil || *q.RefundDue == o.RefundDue()) && len(o.History) > 0
}

func summaryOf(o Order) Summary {
	return Summary{
		ID: o.ID, Reference: o.Reference, CustomerID: o.CustomerID, State: o.State, Currency: o.Currency, TotalMinor: o.TotalMinor,
		RefundDue: o.RefundDue(), PlacedAt: o.History[0].At, UpdatedAt: o.History[len(o.History)-1].At,
	}
}

// cursor is a place in the list, with a sum that says of which list.
func (q Query) cursor(before uint64) string {
	place := strconv.FormatUint(before, 36)
	return place + "-" + q.sum(place)
}

func (q Query) sum(place string) string {
	refund := "any"
	if q.RefundDue != nil {
		refund = strconv.FormatBool(*q.RefundDue)
	}
	list := fmt.Sprintf("%s %q %q %q %s", place, q.State, q.CustomerID, q.Reference, refund)
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(list))), 36)
}

func (q Query) position() (uint64, error) {
	if q.After == "" {
		return 0, nil
	}
	place, sum, _ := strings.Cut(q.After, "-")
	before, err := strconv.ParseUint(place, 36, 64)
	if err != nil || before == 0 || sum != q.sum(place) {
		return 0, fmt.Errorf("%w: the cursor is not of this list", millrace.ErrInvalid)
	}
	return before, nil
}
