// Package meter has what the parts of a process count with, in a few nanoseconds: numbers
// and histograms, one for each label, of which there are never more than so many. It
// knows nothing of who reads them.
package meter

import (
	"iter"
	"maps"
	"sync"
	"sync/atomic"
)

// By keeps one V for each label. Whoever reads does so without a lock.
type By[K comparable, V any] struct {
	most  int
	rest  func(K) K
	fresh func() *V

	mu    sync.Mutex // held by who adds a label
	known atomic.Pointer[map[K]*V]
}

// NewBy returns one that has a V of its own, from fresh, for the first so many labels. Any
// that comes later is counted under what rest makes of it, which is to be one of few.
func NewBy[K comparable, V any](most int, rest func(K) K, fresh func() *V) *By[K, V] {
	b := &By[K, V]{most: most, rest: rest, fresh: fresh}
	b.known.Store(&map[K]*V{})
	return b
}

// Of returns the V of a label.
func (b *By[K, V]) Of(k K) *V {
	known := *b.known.Load()
	if v := known[k]; v != nil {
		return v
	}
	if len(known) >= b.most {
		k = b.rest(k)
		if v := known[k]; v != nil {
			return v
		}
	}
	return b.add(k)
}

func (b *By[K, V]) add(k K) *V {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := *b.known.Load()
	if len(known) >= b.most && known[k] == nil {
		k = b.rest(k)
	}
	if v := known[k]; v != nil {
		return v
	}
	more := maps.Clone(known)
	more[k] = b.fresh()
	b.known.Store(&more)
	return more[k]
}

// All are the labels and what each has.
func (b *By[K, V]) All() iter.Seq2[K, *V] { return maps.All(*b.known.Load()) }
