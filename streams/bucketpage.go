package streams

import (
	"context"
	"slices"
	"strings"
)

// Page returns up to limit entries whose keys come after a key, sorted by key, and the key
// after which the next page goes on, empty behind the last one. So what is written
// meanwhile moves no other entry to another page.
func (b *Bucket) Page(ctx context.Context, after string, limit int) (page []Entry, next string, err error) {
	keys, err := Ledger{b}.Keys(ctx, ">")
	if err != nil {
		return nil, "", err
	}
	slices.Sort(keys)
	at, found := slices.BinarySearch(keys, after)
	if found {
		at++
	}
	for keys = keys[at:]; len(keys) > 0 && len(page) < limit; {
		some := keys[:min(len(keys), limit-len(page))]
		keys = keys[len(some):]
		subjects := make([]string, len(some))
		for i, key := range some {
			subjects[i] = bucketSubject(b.name, key)
		}
		found, err := b.store.lastByAll(ctx, bucketStream(b.name), subjects)
		if err != nil {
			return nil, "", err
		}
		for _, st := range found {
			if len(st.data) > 0 { // else it is what is left of one that was removed
				page = append(page, Entry{strings.TrimPrefix(st.subject, bucketSubject(b.name, "")), st.data, st.seq})
			}
		}
		next = some[len(some)-1]
	}
	slices.SortFunc(page, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	if len(keys) == 0 {
		next = ""
	}
	return page, next, nil
}
