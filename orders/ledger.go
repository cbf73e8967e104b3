package orders

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"millrace"
	"millrace/streams"
)

// The ledger changes orders and stock together. Commands that come while it is at
// others wait, and are then dealt with as one group, in the order in which they came:
// all that they are about is read in one request, they are applied one after the
// other, and what has changed is written in as few atomic batches as it fits in, each
// entry once.
//
// Another process may have changed something meanwhile: then nothing of that batch is
// written, and its commands are applied again to what there is by now. An entry that
// is found to have changed is contested, and commands about it are written apart from
// the others, so that those wait for nobody.
type ledger struct {
	cfg   Config
	store streams.Ledger

	mu      sync.Mutex
	waiting []*command
	busy    bool
}

// command is something to do with the books.
type command struct {
	ctx       context.Context
	order     string // its id; empty for none
	skus      []string
	bytes     int    // of what it adds to the order, about
	holds     bool   // it is also about the stock that the order holds
	reference string // of a payment
	apply     func(*books) error
	// written is called when what apply did is on disk. Nil for nothing to do.
	written func(*books)

	done  chan error
	err   error // what apply said, until it is written
	alone bool  // not to be written together with others
}

// maxGroup is how many commands are dealt with at once.
const maxGroup = 512

// do carries out commands and returns an error or nil for each. Those of one call are
// applied in their order. An error that wraps [millrace.ErrUnavailable] says nothing
// about what was done.
func (l *ledger) do(ctx context.Context, commands ...*command) []error {
	l.mu.Lock()
	for _, c := range commands {
		c.ctx, c.done = ctx, make(chan error, 1)
	}
	l.waiting = append(l.waiting, commands...)
	if !l.busy && len(commands) > 0 {
		l.busy = true
		go l.work()
	}
	l.mu.Unlock()
	errs := make([]error, len(commands))
	for i, c := range commands {
		errs[i] = <-c.done
	}
	return errs
}

// work deals with what waits until nothing does. Those that have to be applied again
// are joined by those that have come meanwhile, so that nobody waits for the end of a
// contest of others.
func (l *ledger) work() {
	var group []*command
	var before contest
	for tries := 0; ; tries++ {
		if len(group) == 0 {
			tries, before = 0, contest{}
		}
		if tries > 1 {
			// The one who was faster is done, so the first time again is at once.
			time.Sleep(rand.N(min(time.Millisecond<<min(tries, 10), maxJitter)))
		}
		if group = l.join(group); len(group) == 0 {
			return
		}
		contest := newContest(before)
		group, before = l.round(group, contest), contest
	}
}

const maxJitter = 50 * time.Millisecond

// join adds to a group what waits, and takes out of it those whose time is over. When
// it returns none, the work is done.
func (l *ledger) join(group []*command) []*command {
	l.mu.Lock()
	defer l.mu.Unlock()
	group = slices.DeleteFunc(append(group, l.waiting...), func(c *command) bool {
		if c.ctx.Err() == nil {
			return false
		}
		c.done <- fmt.Errorf("%w: the orders are busy: %w", millrace.ErrUnavailable, context.Cause(c.ctx))
		return true
	})
	n := min(len(group), maxGroup)
	l.waiting = slices.Clone(group[n:])
	l.busy = n > 0
	return group[:n:n]
}

// contest is which entries of a round others write to as well: those that are not as
// this process has seen or left them in the round before.
type contest struct {
	before    map[string]uint64
	contested map[string]bool // in the round before
	revisions map[string]uint64
	keys      map[string]bool
}

func newContest(before contest) contest {
	return contest{before: before.revisions, contested: before.keys, revisions: map[string]uint64{}, keys: map[string]bool{}}
}

// see notes the revision that an entry has.
func (c contest) see(key string, revision uint64) {
	last, seen := c.before[key]
	c.keys[key] = c.contested[key] || seen && last != revision
	c.revisions[key] = revision
}

func (c contest) has(cmd *command) bool {
	if c.keys[orderKey(cmd.order)] || c.keys[paymentKey(cmd.reference)] {
		return true
	}
	return slices.ContainsFunc(cmd.skus, func(sku string) bool { return c.keys[stockKey(sku)] })
}

// round applies commands and writes what has changed. It returns those that have to
// be applied again.
func (l *ledger) round(group []*command, contest contest) []*command {
	ctx := context.Background() // reads and writes have a time limit of their own
	b, group := l.open(ctx, group, contest)
	// Those that nobody else is after go first, and not together with the others.
	slices.SortStableFunc(group, func(x, y *command) int { return bit(contest.has(x)) - bit(contest.has(y)) })
	for len(group) > 0 {
		some := group[:b.pageful(group, contest)]
		for _, c := range some {
			c.err = c.apply(b)
		}
		switch err := l.write(ctx, b, contest); {
		case errors.Is(err, millrace.ErrConflict):
			return group
		case errors.Is(err, millrace.ErrInvalid) && len(some) > 1:
			// It is not known which of them: each is on its own now.
			for _, c := range some {
				c.alone = true
			}
			return group
		case err != nil:
			refuse(some, err)
			return group[len(some):] // the books are not what there is
		}
		for _, c := range some {
			if c.err == nil && c.written != nil {
				c.written(b)
			}
			c.done <- c.err
		}
		group = group[len(some):]
	}
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func refuse(group []*command, err error) {
	for _, c := range group {
		c.done <- err
	}
}

// pageful is how many of the next commands are written together.
func (b *books) pageful(group []*command, contest contest) int {
	writes, bytes := 0, 0
	for i, c := range group {
		// An order, two events and a payment, and the stock; some bytes for each line.
		writes += 4 + len(c.skus)
		bytes += 1<<10 + 200*len(c.skus) + c.bytes
		if leaf := b.orders[c.order]; leaf != nil {
			bytes += leaf.size
		}
		apart := c.alone || group[0].alone || contest.has(c) != contest.has(group[0])
		if i > 0 && (apart || writes > streams.MaxWrites || bytes > streams.MaxCommit) {
			return i
		}
	}
	return len(group)
}

// write writes what has changed in the books.
func (l *ledger) write(ctx context.Context, b *books, contest contest) error {
	u, err := b.update()
	if err != nil || len(u.writes) == 0 {
		return err
	}
	revisions, err := l.store.Commit(ctx, u.writes, u.events)
	if err != nil {
		return err
	}
	b.wrote(u, revisions)
	for i, w := range u.writes {
		contest.revisions[w.Key] = revisions[i]
	}
	return nil
}

// open reads what commands are about, and returns those that it can be read for.
func (l *ledger) open(ctx context.Context, group []*command, contest contest) (*books, []*command) {
	b := newBooks(l.cfg)
	if err := l.read(ctx, b, group, contest); err != nil {
		refuse(group, err)
		return b, nil
	}
	// What an order holds is known only now.
	var holding []*command
	for _, c := range group {
		if c.holds {
			c.skus = nil
			for _, h := range b.orders[c.order].value.Holds {
				c.skus = append(c.skus, h.SKU)
			}
			holding = append(holding, c)
		}
	}
	if err := l.read(ctx, b, holding, contest); err != nil {
		refuse(group, err)
		return b, nil
	}
	return b, slices.DeleteFunc(group, func(c *command) bool {
		err := b.unreadable(c)
		if err != nil {
			c.done <- err
		}
		return err != nil
	})
}

// read adds to the books what commands are about and is not in there.
func (l *ledger) read(ctx context.Context, b *books, group []*command, contest contest) error {
	missing := b.missing(group)
	if len(missing) == 0 {
		return nil
	}
	found, err := l.store.Read(ctx, slices.Collect(maps.Keys(missing)))
	if err != nil {
		return err
	}
	for key, enter := range missing {
		contest.see(key, found[key].Revision)
		enter(found[key])
	}
	return nil
}
