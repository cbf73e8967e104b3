package main

import (
	"context"
	"time"
)

// alone is how many cores other programs may use while the machine counts as ours.
const alone = 0.1

// undisturbed runs a measurement once, or, with the flag -alone, as often as it takes
// to have the machine to ourselves meanwhile. It looks at what others use and not
// at what came out, so it does not choose the figures. When the time is up the last
// run counts, and the report says that it was disturbed.
func (b *bench) undisturbed(ctx context.Context, m measurement, c config) (map[string]figures, error) {
	for until := time.Now().Add(b.opts.alone); ; {
		if err := waitAlone(ctx, until); err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, limit)
		found, err := m.run(limited, b, c)
		cancel()
		if time.Now().After(until) || !disturbed(found) {
			return found, err
		}
	}
}

func disturbed(found map[string]figures) bool {
	for _, f := range found {
		if f[otherCores.name] > alone {
			return true
		}
	}
	return false
}

// waitAlone returns when nobody else used the machine for a second, or at the given
// time.
func waitAlone(ctx context.Context, until time.Time) error {
	for time.Now().Before(until) {
		from, err := usageOf(nil)
		if err != nil {
			return err
		}
		start := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		to, err := usageOf(nil)
		if err != nil {
			return err
		}
		if to.since(from).others()/time.Since(start).Seconds() <= alone {
			return nil
		}
	}
	return ctx.Err()
}
