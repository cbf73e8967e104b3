package orders

import (
	"fmt"
	"slices"
	"time"

	"millrace"
)

// Stock is what there is of a SKU. One without a record is not tracked: any number
// can be ordered, unless [Config.RejectUntracked] says otherwise.
type Stock struct {
	SKU string `json:"sku"`
	// OnHand is how many are in the warehouse, Reserved how many of those are for
	// orders that are not fulfilled, and Sold how many have left with orders.
	OnHand   int64 `json:"on_hand"`
	Reserved int64 `json:"reserved"`
	Sold     int64 `json:"sold"`
	// UpdatedAt is when that last changed.
	UpdatedAt time.Time `json:"updated_at"`
	// Adjustments are the last ones, oldest first.
	Adjustments []Adjustment `json:"adjustments,omitempty"`
}

// Adjustment is a change of what is on hand, for a reason.
type Adjustment struct {
	// ID names the adjustment, so that doing it twice is doing it once.
	ID string `json:"id"`
	// Delta is how many came in, or went if it is negative.
	Delta  int64     `json:"delta"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

const (
	// MaxOnHand is how many of one SKU there can be.
	MaxOnHand = 1_000_000_000_000
	// maxAdjustments is how many a record keeps.
	maxAdjustments = 32
)

// Available is how many can be ordered.
func (s Stock) Available() int64 { return s.OnHand - s.Reserved }

// counted is s after somebody has counted what is on hand.
func (s Stock) counted(onHand int64, at time.Time) (Stock, error) {
	switch {
	case onHand < 0 || onHand > MaxOnHand:
		return s, fmt.Errorf("%w: on hand can be 0 to %d, not %d", millrace.ErrInvalid, int64(MaxOnHand), onHand)
	case onHand < s.Reserved:
		return s, fmt.Errorf("%w: %d are reserved for orders, so that %d on hand is too few: cancel some of those orders first", millrace.ErrConflict, s.Reserved, onHand)
	}
	s.OnHand, s.UpdatedAt = onHand, at
	return s, nil
}

// adjusted is s after an adjustment, which counts once.
func (s Stock) adjusted(a Adjustment) (Stock, error) {
	if i := slices.IndexFunc(s.Adjustments, func(done Adjustment) bool { return done.ID == a.ID }); i >= 0 {
		if done := s.Adjustments[i]; done.Delta != a.Delta {
			return s, fmt.Errorf("%w: an adjustment with the id %q was made before, of %d", millrace.ErrConflict, a.ID, done.Delta)
		}
		return s, nil
	}
	if s.OnHand+a.Delta < 0 {
		return s, fmt.Errorf("%w: there are only %d on hand", millrace.ErrConflict, s.OnHand)
	}
	next, err := s.counted(s.OnHand+a.Delta, a.At)
	if err != nil {
		return s, err
	}
	next.Adjustments = append(slices.Clone(s.Adjustments), a)
	if n := len(next.Adjustments); n > maxAdjustments {
		next.Adjustments = next.Adjustments[n-maxAdjustments:]
	}
	return next, nil
}

// reserved is s with n more reserved, released with n less, and sold with n of them
// gone.
func (s Stock) reserved(n int64, at time.Time) Stock {
	s.Reserved, s.UpdatedAt = s.Reserved+n, at
	return s
}

func (s Stock) released(n int64, at time.Time) Stock { return s.reserved(-n, at) }

func (s Stock) sold(n int64, at time.Time) Stock {
	s = s.released(n, at)
	s.OnHand, s.Sold = s.OnHand-n, s.Sold+n
	return s
}
