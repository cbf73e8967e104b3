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
		// What another command of the same batch has done to it counts as well.
		if version != "" && (!l.there || version != "*" && (l.changed || version != stockVersion(l.revision))) {
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
	// Others may have changed it in the same batch, and it has one version after it.
	c.written = func(b *books) { s, version = b.stock[sku].value, stockVersion(b.stock[sku].revision) }
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
	// The broker has them in the order of their last change. So all names are looked at,
	// but only what is on the page is read.
	keys, err := o.bucket.Keys(ctx, stockPrefix+">")
	if err != nil {
		return nil, err
	}
	var skus []string
	for _, key := range keys {
		if sku, ok := millrace.DecodeToken(strings.TrimPrefix(key, stockPrefix)); ok && sku > after {
			skus = append(skus, sku)
		}
	}
	slices.Sort(skus)
	var page []Stock
	for some := range slices.Chunk(skus, max(limit, 1)) {
		for i, sku := range some {
			some[i] = stockKey(sku)
		}
		found, err := o.bucket.Read(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, key := range some {
			s := leafOf[Stock](found[key])
			if s.err != nil {
				return nil, s.err
			}
			if s.there { // its name may be all that is left
				page = append(page, s.value)
			}
		}
		if len(page) >= limit {
			break
		}
	}
	return page[:min(len(page), limit)], nil
}

func validateSKU(sku string) error {
	var v Violations
	if v.sku("path.sku", sku); len(v) > 0 {
		return v
	}
	return nil
}
