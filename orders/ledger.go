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
// written, and its commands are applied again to what there is by now. What others
// change too is contested for a while: commands about that are dealt with apart from
// the rest, which wait for nobody, and by one process at a time.
type ledger struct {
	cfg   Config
	store streams.Ledger

	mu      sync.Mutex
	waiting []*command
	busy    bool

	contest contest
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
	for tries := 0; ; tries++ {
		if len(group) == 0 {
			tries = 0
		}
		if tries > 1 {
			// The one who was faster is done, so the first time again is at once.
			time.Sleep(rand.N(min(time.Millisecond<<min(tries, 10), maxJitter)))
		}
		if group = l.join(group); len(group) == 0 {
			return
		}
		group = l.round(group)
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

// round applies commands and writes what has changed. It returns those that have to
// be applied again.
func (l *ledger) round(group []*command) (again []*command) {
	var contested []*command
	free := slices.DeleteFunc(slices.Clone(group), func(c *command) bool {
		is := l.contest.has(c)
		if is {
			contested = append(contested, c)
		}
		return is
	})
	again = l.pages(free, len(free))
	for len(contested) > 0 {
		n := min(len(contested), maxHeld)
		end := l.turn()
		again = append(again, l.pages(contested[:n], maxHeldPages)...)
		end()
		contested = contested[n:]
	}
	return again
}

// How many commands, and how many batches of them, are dealt with in one turn. What
// one batch has left in the books need not be read for the next.
const (
	maxHeld      = 512
	maxHeldPages = 3
)

// pages deals with commands batch by batch, most batches at most. It returns those
// that have to be applied again.
func (l *ledger) pages(group []*command, most int) (again []*command) {
	b := newBooks(l.cfg)
	for range most {
		if len(group) == 0 {
			break
		}
		n := pageful(group)
		left, done := l.transact(b, group[:n])
		again = append(again, left...)
		if group = group[n:]; !done {
			b = newBooks(l.cfg) // these are not what there is
		}
	}
	return append(again, group...)
}

// turn waits until nobody else is at what is contested, for a while: those who come
// meanwhile wait too, and the one whose turn it is may have died. Nothing depends on
// it, but else all of several workers but one would work in vain.
func (l *ledger) turn() (end func()) {
	ctx, cancel := context.WithTimeout(context.Background(), maxTurn)
	defer cancel()
	end, err := l.store.TakeTurn(ctx)
	if err != nil {
		return func() {}
	}
	return end
}

const maxTurn = 500 * time.Millisecond

// pageful is how many of the next commands are written together, as far as that is
// known before they are read: see fitting.
func pageful(group []*command) int {
	for i, c := range group {
		if i > 0 && (c.alone || group[0].alone) {
			group = group[:i]
			break
		}
	}
	return fitting(nil, group)
}

// fitting is how many of the next commands fit into one batch. With the books it is
// known what an order brings along that is there already.
func fitting(b *books, group []*command) int {
	skus := map[string]bool{}
	writes, bytes := 0, 0
	for i, c := range group {
		for _, sku := range c.skus {
			skus[sku] = true
		}
		writes += 3 // an order and two events
		if c.reference != "" {
			writes++
		}
		bytes += 1<<10 + 200*len(c.skus) + c.bytes
		bytes += b.sizeOf(c)
		if i > 0 && (writes+len(skus) > streams.MaxWrites || bytes > streams.MaxCommit) {
			return i
		}
	}
	return len(group)
}

// transact applies commands and writes what has changed, together. It returns those
// that have to be applied again, and whether the books are as they are kept.
func (l *ledger) transact(b *books, group []*command) (again []*command, done bool) {
	ctx := context.Background() // reads and writes have a time limit of their own
	group = l.open(ctx, b, slices.Clone(group))
	n := fitting(b, group)
	group, again = group[:n], group[n:]
	for _, c := range group {
		c.err = c.apply(b)
	}
	switch err := l.write(ctx, b); {
	case errors.Is(err, millrace.ErrConflict):
		return append(group, again...), false
	case errors.Is(err, millrace.ErrInvalid) && len(group) > 1:
		// It is not known which of them: each is on its own now.
		for _, c := range group {
			c.alone = true
		}
		return append(group, again...), false
	case err != nil:
		refuse(group, err)
		return again, false
	}
	for _, c := range group {
		if c.err == nil && c.written != nil {
			c.written(b)
		}
		c.done <- c.err
	}
	return again, true
}

func refuse(group []*command, err error) {
	for _, c := range group {
		c.done <- err
	}
}

// write writes what has changed in the books.
func (l *ledger) write(ctx context.Context, b *books) error {
	u, err := b.update()
	if err != nil || len(u.writes) == 0 {
		return err
	}
	revisions, err := l.store.Commit(ctx, u.writes, u.events)
	if err != nil {
		return err
	}
	for i, w := range u.writes {
		l.contest.wrote(w.Key, revisions[i])
	}
	b.wrote(u, revisions)
	return nil
}

// open reads what commands are about and is not in the books, and returns those
// commands that it can be read for.
func (l *ledger) open(ctx context.Context, b *books, group []*command) []*command {
	b.now = time.Now().UTC()
	if err := l.read(ctx, b, group); err != nil {
		refuse(group, err)
		return nil
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
	if err := l.read(ctx, b, holding); err != nil {
		refuse(group, err)
		return nil
	}
	return slices.DeleteFunc(group, func(c *command) bool {
		err := b.unreadable(c)
		if err != nil {
			c.done <- err
		}
		return err != nil
	})
}

// read adds to the books what commands are about and is not in there.
func (l *ledger) read(ctx context.Context, b *books, group []*command) error {
	missing := b.missing(group)
	if len(missing) == 0 {
		return nil
	}
	found, err := l.store.Read(ctx, slices.Collect(maps.Keys(missing)))
	if err != nil {
		return err
	}
	for key, enter := range missing {
		l.contest.read(key, found[key].Revision)
		enter(found[key])
	}
	return nil
}
