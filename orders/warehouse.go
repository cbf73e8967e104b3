package orders

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"millrace"
	"millrace/streams"
)

// Stock returns what there is of a SKU, and its version, which changes whenever that
// does. A SKU that is not tracked is [millrace.ErrNotFound].
func (o *Orders) Stock(ctx context.Context, sku string) (s Stock, version string, err error) {
	if err := validateSKU(sku); err != nil {
		return Stock{}, "", err
	}
	found, err := o.bucket.Read(ctx, []string{stockKey(sku)})
	if err != nil {
		return Stock{}, "", err
	}
	leaf := leafOf[Stock](found[stockKey(sku)])
	if leaf.err == nil && !leaf.there {
		leaf.err = fmt.Errorf("stock of %q: %w", sku, millrace.ErrNotFound)
	}
	return leaf.value, stockVersion(leaf.revision), leaf.err
}

func stockVersion(revision uint64) string { return fmt.Sprintf("s%d", revision) }

// SetStock says how many of a SKU are on hand, and has it tracked. With a version, the
// stock must have that one still, or the error wraps [ErrChanged]; with "*" it must be
// tracked already.
func (o *Orders) SetStock(ctx context.Context, sku string, onHand int64, version string) (Stock, string, error) {
	return o.changeStock(ctx, sku, func(l *leaf[Stock]) (Stock, error) {
		if version != "" && (!l.there || version != "*" && version != stockVersion(l.revision)) {
			return l.value, fmt.Errorf("stock of %q: %w", sku, ErrChanged)
		}
		return l.value.counted(onHand, time.Now().UTC())
	})
}

// ErrChanged means that something is not as its caller saw it last.
var ErrChanged = errors.New("it was changed meanwhile")

// AdjustStock adds delta to what is on hand of a SKU that is tracked, for a reason. An
// id makes that safe to repeat: doing it twice is doing it once, for as long as the
// last adjustments are remembered.
func (o *Orders) AdjustStock(ctx context.Context, sku string, a Adjustment) (Stock, string, error) {
	var v Violations
	if a.Reason == "" {
		v.add("body.reason", "an adjustment needs a reason")
	}
	v.text("body.reason", a.Reason, MaxTextLen)
	v.text("body.id", a.ID, MaxNameLen)
	if a.Delta == 0 || a.Delta > MaxOnHand || a.Delta < -MaxOnHand {
		v.add("body.delta", "delta must be -%d to %d, and not 0", int64(MaxOnHand), int64(MaxOnHand))
	}
	if len(v) > 0 {
		return Stock{}, "", v
	}
	if a.ID == "" {
		a.ID = millrace.NewID()
	}
	return o.changeStock(ctx, sku, func(l *leaf[Stock]) (Stock, error) {
		if !l.there {
			return Stock{}, fmt.Errorf("stock of %q: %w", sku, millrace.ErrNotFound)
		}
		a.At = time.Now().UTC()
		return l.value.adjusted(a)
	})
}

func (o *Orders) changeStock(ctx context.Context, sku string, change func(*leaf[Stock]) (Stock, error)) (s Stock, version string, err error) {
	if err := validateSKU(sku); err != nil {
		return Stock{}, "", err
	}
	c := &command{skus: []string{sku}, apply: func(b *books) (err error) {
		leaf := b.stock[sku]
		if s, err = change(leaf); err != nil {
			return err
		}
		if s.SKU = sku; !leaf.there || !reflect.DeepEqual(s, leaf.value) {
			leaf.write(s)
		}
		return nil
	}}
	c.written = func(b *books) { version = stockVersion(b.stock[sku].revision) }
	if err := o.ledger.do(ctx, c)[0]; err != nil {
		return s, "", err
	}
	return s, version, nil
}

// Count is how many of a SKU are on hand.
type Count struct {
	SKU    string `json:"sku"`
	OnHand int64  `json:"on_hand"`
}

// SetStocks says how many of many SKUs are on hand, and returns an error or nil for
// each.
func (o *Orders) SetStocks(ctx context.Context, counts []Count) []error {
	errs := make([]error, len(counts))
	var commands []*command
	var valid []int
	for i, c := range counts {
		if errs[i] = validateSKU(c.SKU); errs[i] != nil {
			continue
		}
		commands = append(commands, &command{skus: []string{c.SKU}, apply: func(b *books) error {
			leaf := b.stock[c.SKU]
			s, err := leaf.value.counted(c.OnHand, b.now)
			if err == nil {
				s.SKU = c.SKU
				leaf.write(s)
			}
			return err
		}})
		valid = append(valid, i)
	}
	for n, err := range o.ledger.do(ctx, commands...) {
		errs[valid[n]] = err
	}
	return errs
}

// ListStock returns up to limit SKUs that are tracked, in alphabetical order, from the
// first after that one.
func (o *Orders) ListStock(ctx context.Context, after string, limit int) ([]Stock, error) {
	// The broker has them in the order of their last change. So all are looked at, and
	// the first of those that are wanted kept.
	var page []Stock
	err := o.bucket.Each(ctx, stockPrefix+">", func(e streams.Entry) error {
		sku, ok := decodeKey(strings.TrimPrefix(e.Key, stockPrefix))
		if !ok || sku <= after || len(page) == limit && sku >= page[limit-1].SKU {
			return nil
		}
		s := leafOf[Stock](e)
		if s.err != nil {
			return s.err
		}
		if !s.there {
			return nil
		}
		i, found := slices.BinarySearchFunc(page, sku, func(s Stock, sku string) int { return strings.Compare(s.SKU, sku) })
		if found {
			page[i] = s.value // it was changed meanwhile
			return nil
		}
		page = slices.Insert(page, i, s.value)
		page = page[:min(len(page), limit)]
		return nil
	})
	return page, err
}

func validateSKU(sku string) error {
	var v Violations
	if v.sku("path.sku", sku); len(v) > 0 {
		return v
	}
	return nil
}
