package gateway

import (
	"cmp"
	"slices"

	"millrace/streams"
)

// window holds the newest events, as they are written to clients, without a gap:
// all that there are behind floor, up to last. Whoever is at a place before its floor
// must read from the broker.
type window struct {
	floor, last uint64
	chunks      []chunk
	size, limit int // in bytes
}

// chunk is some events in a row. It never changes, so that all clients may share it.
type chunk struct {
	bytes []byte
	marks []mark
}

// mark is where an event ends in its chunk.
type mark struct {
	sequence uint64
	end      int
}

func newChunk(events []streams.FeedEvent) chunk {
	size := 0
	for _, e := range events {
		size += len(e.Data) + len("id: 18446744073709551615\nevent: order\ndata: \n\n")
	}
	c := chunk{bytes: make([]byte, 0, size), marks: make([]mark, 0, len(events))}
	for _, e := range events {
		c.bytes = appendEvent(c.bytes, e)
		c.marks = append(c.marks, mark{e.Sequence, len(c.bytes)})
	}
	return c
}

func (c chunk) last() uint64 { return c.marks[len(c.marks)-1].sequence }

// after is the part of the chunk behind that sequence.
func (c chunk) after(sequence uint64) []byte {
	i, _ := slices.BinarySearchFunc(c.marks, sequence+1, func(m mark, s uint64) int { return cmp.Compare(m.sequence, s) })
	if i == 0 {
		return c.bytes
	}
	return c.bytes[c.marks[i-1].end:]
}

// add takes in what follows last, and lets go of the oldest.
func (w *window) add(c chunk) {
	w.chunks = append(w.chunks, c)
	w.last = c.last()
	w.size += len(c.bytes)
	for w.size > w.limit && len(w.chunks) > 1 {
		w.floor = w.chunks[0].last()
		w.size -= len(w.chunks[0].bytes)
		w.chunks[0] = chunk{}
		w.chunks = w.chunks[1:]
	}
}

// next is what follows that sequence, or a part of it, and the sequence of its last
// event. It is not ok if that is no longer here.
func (w *window) next(after uint64) (some []byte, last uint64, ok bool) {
	if after < w.floor {
		return nil, after, false
	}
	i, _ := slices.BinarySearchFunc(w.chunks, after+1, func(c chunk, s uint64) int { return cmp.Compare(c.last(), s) })
	if i == len(w.chunks) {
		return nil, after, true
	}
	return w.chunks[i].after(after), w.chunks[i].last(), true
}
