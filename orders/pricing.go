package orders

import (
	"fmt"

	"millrace"
)

// Total returns the price of all lines in minor units. A total of more than
// [MaxTotalMinor], and a line whose quantity or price is not positive, is a
// [millrace.ErrInvalid]; it never wraps around.
func Total(items []Line) (int64, error) {
	var total int64
	for i, l := range items {
		if l.Quantity < 1 || l.UnitPriceMinor < 1 {
			return 0, fmt.Errorf("%w: line %d has no price", millrace.ErrInvalid, i+1)
		}
		// Divided instead of multiplied, since a product could overflow.
		if l.Quantity > (MaxTotalMinor-total)/l.UnitPriceMinor {
			return 0, fmt.Errorf("%w: the total is more than %d", millrace.ErrInvalid, int64(MaxTotalMinor))
		}
		total += l.Quantity * l.UnitPriceMinor
	}
	return total, nil
}
