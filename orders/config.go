package orders

import (
	"cmp"
	"context"
	"log/slog"
	"time"
)

// Config is how orders are dealt with. The zero value is a sensible one.
type Config struct {
	// PaymentTime is how long an order may wait for its payment before it expires.
	// Zero means 30 min.
	PaymentTime time.Duration
	// RejectUntracked rejects orders of goods of which there is no stock record.
	RejectUntracked bool
	// Retention is for how long closed orders are kept. Zero means for good.
	Retention time.Duration
	// Fulfil is called for each order that is paid, by a worker: it has the goods
	// sent. It may be called more than once for an order. Nil means that there is
	// nothing to do.
	Fulfil func(context.Context, Order) error
	// ByHand leaves orders paid until somebody says that they are fulfilled.
	ByHand bool
	// Elsewhere leaves the tasks of the kind [KindFulfil] to workers that are not made
	// by [Orders.Register]: they see to the goods, and call [Orders.Fulfil] then.
	Elsewhere bool
	// Logger hears of what goes wrong. Nil means silence.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.PaymentTime = cmp.Or(c.PaymentTime, 30*time.Minute)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Fulfil == nil {
		c.Fulfil = func(context.Context, Order) error { return nil }
	}
	return c
}

// retention is for how long an order is kept as it stands, zero for good. Money that
// is owed is not forgotten.
func (c Config) retention(o Order) time.Duration {
	if !o.State.Final() || o.RefundDue() {
		return 0
	}
	return c.Retention
}

// paymentRetention is for how long it is known which order a payment was of.
func (c Config) paymentRetention() time.Duration {
	if c.Retention == 0 {
		return 0
	}
	return c.Retention + 30*24*time.Hour
}
