package streams

import "time"

// LoseLink makes the store believe that its connection is lost, though it is not,
// or not any more; RestoreLink that it is back.
func (s *Store) LoseLink() { s.replies.link.lost() }

// RestoreLink is the opposite of LoseLink.
func (s *Store) RestoreLink() { s.replies.link.restored() }

// Ask makes the puller believe that it has asked for n messages, though nothing of
// it reached the server.
func (p *pull) Ask(n int) {
	p.lastAsk++
	p.asked = append(p.asked, request{p.lastAsk, n, time.Now().Add(p.store.cfg.PullExpiry + overdue)})
}

// ShardOf is where a task waits.
func ShardOf(id string) int { return shardOf(id) }

// DrawerOf is in which part of its shard a task waits.
func DrawerOf(id string) string { return drawerOf(id) }

// Impatient makes o take for old what was written a moment ago.
func (o *Orphans) Impatient() { o.age = 0 }

// Modest makes o look at fewer records at once.
func (o *Orphans) Modest(most int) { o.most = most }

// Next is the sequence with which the next sweep begins.
func (o *Orphans) Next() uint64 { return o.next }

// Skip makes the feed believe that its consumer delivered a message more.
func (f *Feed) Skip() { f.delivered++ }

// HistogramOf counts durations.
func HistogramOf(all ...time.Duration) Histogram {
	var c counters
	for _, d := range all {
		c.count(d)
	}
	return c.take()
}
