package gateway

// bell tells those who watch one order that there is news of it.
type bell struct {
	watchers int
	last     uint64 // the sequence of the newest event that it rang for
	rung     chan struct{}
}

func (b *bell) ring(sequence uint64) {
	b.last = sequence
	close(b.rung)
	b.rung = make(chan struct{})
}

// watch gets the bell of an order; unwatch gives it back.
func (h *hub) watch(orderID string) *bell {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bells[orderID]
	if b == nil {
		b = &bell{rung: make(chan struct{})}
		h.bells[orderID] = b
	}
	b.watchers++
	return b
}

func (h *hub) unwatch(orderID string, b *bell) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b.watchers--; b.watchers == 0 {
		delete(h.bells, orderID)
	}
}

// heard is what a bell rang for last, and what tells when it rings again.
func (h *hub) heard(b *bell) (last uint64, rung <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return b.last, b.rung
}
