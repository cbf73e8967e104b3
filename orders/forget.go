package orders

import (
	"context"
	"time"

	"millrace/streams"
)

// forgetAfter is how old the first event of an order is at least before it is removed.
// By then a replica knows the order, if there is one.
const forgetAfter = time.Hour

// forget takes the orders out of the index that are not kept any more, and returns how
// many those were.
func (o *Orders) forget(ctx context.Context) (forgotten int, err error) {
	if o.cfg.Retention == 0 {
		return 0, nil
	}
	old := func(f streams.First) bool { return time.Since(f.At) > max(o.cfg.Retention, forgetAfter) }
	for before := uint64(0); ; {
		firsts, rest, err := o.bucket.FirstEvents(ctx, before, listStep, old)
		if err != nil {
			return forgotten, err
		}
		found, err := o.bucket.Read(ctx, orderKeys(firsts))
		if err != nil {
			return forgotten, err
		}
		for _, f := range firsts {
			if _, there := found[orderKey(f.OrderID)]; there {
				continue
			}
			if err := o.bucket.RemoveFirst(ctx, f); err != nil {
				return forgotten, err
			}
			forgotten++
		}
		if before = rest; before == 0 {
			return forgotten, nil
		}
	}
}
