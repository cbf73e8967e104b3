package streams_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace/streams"
)

// happen writes an order and its next event, as a transition does.
func happen(t *testing.T, l streams.Ledger, orderID string, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		var revision uint64
		if n > 1 {
			var err error
			if _, revision, err = l.Get(t.Context(), "order."+orderID); err != nil {
				t.Fatal(err)
			}
		}
		_, err := l.Commit(t.Context(),
			[]streams.Write{{Key: "order." + orderID, Value: fmt.Appendf(nil, "%d", n), Revision: revision}},
			[]streams.Event{{OrderID: orderID, Number: n, Data: fmt.Appendf(nil, `{"order_id":%q,"n":%d}`, orderID, n), TTL: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// read reads n events of the feed, whatever happens to the broker meanwhile.
func read(t *testing.T, f *streams.Feed, n int) []streams.FeedEvent {
	t.Helper()
	var all []streams.FeedEvent
	for deadline := time.Now().Add(time.Minute); len(all) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d events came", len(all), n)
		}
		some, err := f.Next(t.Context())
		if err != nil {
			time.Sleep(10 * time.Millisecond)
		}
		all = append(all, some...)
	}
	return all
}

// names are the events as "order/number".
func names(events []streams.FeedEvent) (all []string) {
	for _, e := range events {
		all = append(all, fmt.Sprintf("%s/%d", e.OrderID, e.Number))
	}
	return all
}

func TestFeed(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	l := store.Ledger()
	if last, err := l.LastEvent(t.Context()); last != 0 || err != nil {
		t.Errorf("without an event: %d, %v", last, err)
	}
	f := l.Follow(0)
	defer f.Close()
	if none, err := f.Next(t.Context()); len(none) != 0 || err != nil {
		t.Errorf("without an event: %v, %v", none, err)
	}
	happen(t, l, "a", 1, 2)
	happen(t, l, "b", 1)
	happen(t, l, "a", 3)
	all := read(t, f, 4)
	if got := names(all); !slices.Equal(got, []string{"a/1", "a/2", "b/1", "a/3"}) {
		t.Errorf("%v", got)
	}
	if e := all[1]; string(e.Data) != `{"order_id":"a","n":2}` || time.Since(e.At) > time.Minute || e.Sequence <= all[0].Sequence {
		t.Errorf("%+v", e)
	}
	last, err := l.LastEvent(t.Context())
	end, err2 := l.LastSequence(t.Context())
	if last != all[3].Sequence || end < last || err != nil || err2 != nil {
		t.Errorf("the last event is %d, the last sequence %d, %v, %v", last, end, err, err2)
	}
	f.Close()
	if got := names(read(t, f, 0)); len(got) != 0 {
		t.Errorf("again: %v", got)
	}
	behind := l.Follow(all[1].Sequence)
	defer behind.Close()
	if got := names(read(t, behind, 2)); !slices.Equal(got, []string{"b/1", "a/3"}) {
		t.Errorf("behind the second: %v", got)
	}

	for after, want := range map[uint64][]string{0: {"a/1", "a/2", "a/3"}, all[1].Sequence: {"a/3"}, end + 7: nil} {
		got, err := l.EventsOf(t.Context(), "a", after)
		if err != nil || !slices.Equal(names(got), want) {
			t.Errorf("of a behind %d: %v, %v", after, names(got), err)
		}
	}
	if got, err := l.EventsOf(t.Context(), "nobody", 0); len(got) != 0 || err != nil {
		t.Errorf("of nobody: %v, %v", got, err)
	}
}

// Nothing is missing and nothing comes twice, whoever writes and whatever goes.
func TestFeedHasNoGaps(t *testing.T) {
	b := startBroker(t, time.Minute)
	store := open(t, b, streams.Config{})
	l := store.Ledger()
	js := inspect(t, b)
	const writers, orders, events = 8, 10, 25
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for o := range orders {
				live(t, l, fmt.Sprintf("%d-%d", w, o), events)
			}
		})
	}
	f := l.Follow(0)
	defer f.Close()
	var all []streams.FeedEvent
	restarted := false
	for len(all) < writers*orders*events {
		some := read(t, f, 1)
		all = append(all, some...)
		switch { // now and then
		case !restarted && len(all) > writers*orders*events/3:
			restarted = true
			b.Stop()
			b.Start()
		case len(all)%7 == 0:
			store.LoseLink()
			store.RestoreLink()
		case len(all)%5 == 0:
			dropConsumers(t, js)
		}
	}
	writing.Wait()
	numbers := map[string]int{}
	var last uint64
	for _, e := range all {
		if e.Sequence <= last || e.Number != numbers[e.OrderID]+1 {
			t.Fatalf("event %d of %s, at %d, follows event %d, at %d", e.Number, e.OrderID, e.Sequence, numbers[e.OrderID], last)
		}
		numbers[e.OrderID], last = e.Number, e.Sequence
	}
	f.Close()
	eventually(t, "the consumers of feeds are gone", func() bool { return len(consumers(t, js)) == 0 })
}

// live lets so many things happen to an order, each once, though an answer is lost now
// and then.
func live(t *testing.T, l streams.Ledger, id string, events int) {
	key, revision := "order."+id, uint64(0)
	for n := 1; n <= events; {
		written, err := l.Commit(t.Context(),
			[]streams.Write{{Key: key, Value: fmt.Append(nil, n), Revision: revision}},
			[]streams.Event{{OrderID: id, Number: n, Data: []byte("{}")}})
		if err == nil {
			revision = written[0]
			n++
			continue
		}
		time.Sleep(5 * time.Millisecond)
		if found, err := l.Read(t.Context(), []string{key}); err == nil {
			if revision = found[key].Revision; string(found[key].Value) == fmt.Sprint(n) {
				n++
			}
		}
	}
}

func consumers(t *testing.T, js jetstream.JetStream) (names []string) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KV_orders")
	if err != nil {
		return nil // it is away
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		names = append(names, name)
	}
	return names
}

func dropConsumers(t *testing.T, js jetstream.JetStream) {
	for _, name := range consumers(t, js) {
		_ = js.DeleteConsumer(t.Context(), "KV_orders", name)
	}
}

// What is lost on the way is read again.
func TestFeedThatWasNotHeard(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	l := store.Ledger()
	f := l.Follow(0)
	defer f.Close()
	happen(t, l, "a", 1)
	if got := names(read(t, f, 1)); !slices.Equal(got, []string{"a/1"}) {
		t.Fatal(got)
	}
	f.Skip() // as if the second message of the consumer had been lost
	happen(t, l, "a", 2, 3)
	if got := names(read(t, f, 2)); !slices.Equal(got, []string{"a/2", "a/3"}) {
		t.Error(got)
	}
}
