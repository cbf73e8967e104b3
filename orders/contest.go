package orders

import (
	"slices"
	"time"
)

// contest knows which entries other processes change too.
type contest struct {
	revisions map[string]uint64    // of what was read or written last
	changed   map[string]time.Time // when it was found that somebody else had written
}

// How long an entry counts as contested, and of how many entries it is known.
const (
	contestFor   = time.Second
	maxContested = 20_000
)

// read notes the revision that was found under a key.
func (c *contest) read(key string, revision uint64) {
	if before, known := c.revisions[key]; known && before != revision {
		c.changed[key] = time.Now()
	}
	c.wrote(key, revision)
}

// wrote notes the revision that this process has given to a key.
func (c *contest) wrote(key string, revision uint64) {
	if len(c.revisions) >= maxContested || c.revisions == nil {
		c.revisions, c.changed = map[string]uint64{}, map[string]time.Time{}
	}
	c.revisions[key] = revision
}

// has reports whether a command is about something that is contested.
func (c *contest) has(cmd *command) bool {
	is := func(key string) bool {
		at, ok := c.changed[key]
		return ok && time.Since(at) < contestFor
	}
	return is(orderKey(cmd.order)) || cmd.reference != "" && is(paymentKey(cmd.reference)) ||
		slices.ContainsFunc(cmd.skus, func(sku string) bool { return is(stockKey(sku)) })
}
