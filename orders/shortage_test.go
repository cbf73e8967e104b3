package orders_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"millrace/orders"
	"millrace/processor"
	"millrace/streams"
)

// season is the sample with too little in stock: of the 40 SKUs that are on most
// invoices there is half of what they ask for, of the others all. Every tenth is not
// tracked.
type season struct {
	placements []orders.Placement // those that are valid, as they come
	stock      map[string]int64
}

func readSeason(t *testing.T) (s season) {
	s.stock = map[string]int64{}
	on := map[string]int{}
	for _, inv := range readSample(t) {
		if _, quantities, prices := inv.check(); len(quantities)+len(prices) > 0 {
			continue
		}
		s.placements = append(s.placements, inv.placement(t))
		for sku, n := range inv.wants() {
			on[sku]++
			s.stock[sku] += n
		}
	}
	common := slices.SortedFunc(maps.Keys(on), func(a, b string) int { return cmp.Or(on[b]-on[a], cmp.Compare(a, b)) })
	for i, sku := range common {
		switch {
		case i < 40:
			s.stock[sku] /= 2
		case i%10 == 0:
			delete(s.stock, sku)
		}
	}
	return s
}

// wants is how many of each SKU the invoice asks for.
func (inv invoice) wants() map[string]int64 {
	all := map[string]int64{}
	for _, item := range inv.Items {
		n, _ := item.Quantity.Int64()
		all[item.SKU] += n
	}
	return all
}

// decide is which orders can be had if they are decided on as they came, each whole or
// not at all, and what is left then.
func (s season) decide() (accepted map[string]bool, left map[string]int64) {
	accepted, left = map[string]bool{}, maps.Clone(s.stock)
	for _, p := range s.placements {
		wants := map[string]int64{}
		for _, l := range p.Items {
			if _, tracked := left[l.SKU]; tracked {
				wants[l.SKU] += l.Quantity
			}
		}
		fits := true
		for sku, n := range wants {
			fits = fits && n <= left[sku]
		}
		if accepted[p.OrderID] = fits; fits {
			for sku, n := range wants {
				left[sku] -= n
			}
		}
	}
	return accepted, left
}

// open has it all in stock.
func (s season) open(t *testing.T, store *streams.Store) *orders.Orders {
	t.Helper()
	o := orders.New(store, orders.Config{})
	var counts []orders.Count
	for sku, n := range s.stock {
		counts = append(counts, orders.Count{SKU: sku, OnHand: n})
	}
	for i, err := range o.SetStocks(t.Context(), counts) {
		if err != nil {
			t.Fatal(counts[i], err)
		}
	}
	return o
}

// wait waits until every order is decided on, and returns which are accepted.
func (s season) wait(t *testing.T, o *orders.Orders, store *streams.Store) map[string]bool {
	t.Helper()
	accepted := map[string]bool{}
	for _, p := range s.placements {
		shop{o, store, nil}.wait(t, p.OrderID+"-placed")
		order, _, err := o.Get(t.Context(), p.OrderID)
		if err != nil || order.State != orders.AwaitingPayment && order.State != orders.Rejected {
			t.Errorf("%+v, %v", order, err)
		}
		accepted[p.OrderID] = order.State == orders.AwaitingPayment
	}
	return accepted
}

// serve runs a worker until the test ends.
func serve(t *testing.T, o *orders.Orders, store *streams.Store, concurrency int) {
	t.Helper()
	p := processor.New(store, processor.Config{Concurrency: concurrency})
	o.Register(p)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// One worker decides on the orders as they came: just those are rejected that must be.
func TestShortageOneWorker(t *testing.T) {
	s := readSeason(t)
	want, left := s.decide()
	store := connect(t, newBroker(t))
	o := s.open(t, store)
	for _, p := range s.placements {
		if _, err := o.Place(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, o, store, 1)
	got := s.wait(t, o, store)
	rejected := 0
	for id, ok := range want {
		rejected += map[bool]int{false: 1}[ok]
		if got[id] != ok {
			t.Errorf("%s is accepted: %v, and should be: %v", id, got[id], ok)
		}
	}
	if t.Logf("%d of %d orders are rejected", rejected, len(want)); rejected < 50 || len(want)-rejected < 50 {
		t.Error("that is no test")
	}
	for sku, n := range s.stock {
		st, _, err := o.Stock(t.Context(), sku)
		if err != nil || st.OnHand != n || st.Available() != left[sku] || st.Sold != 0 {
			t.Errorf("%+v, of which there were %d, and %d should be left; %v", st, n, left[sku], err)
		}
	}
}

// With many workers it is open who gets the last of a SKU. No SKU is oversold, all of
// it is accounted for, and no order is rejected that could be had just then.
func TestShortageManyWorkers(t *testing.T) {
	s := readSeason(t)
	b := newBroker(t)
	store := connect(t, b)
	a := listen(t, b)
	o := s.open(t, store)
	for range 4 {
		store := connect(t, b)
		serve(t, orders.New(store, orders.Config{}), store, 4)
	}
	var placing sync.WaitGroup
	for i := range 8 {
		placing.Go(func() {
			for n := i; n < len(s.placements); n += 8 {
				if _, err := o.Place(t.Context(), s.placements[n]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	placing.Wait()
	got := s.wait(t, o, store)
	a.check(t)
	held, rejected := map[string]int64{}, 0
	for _, p := range s.placements {
		if !got[p.OrderID] {
			rejected++
			a.rejectedRightly(t, p.OrderID, 0)
			continue
		}
		for _, l := range p.Items {
			held[l.SKU] += l.Quantity
		}
	}
	for sku, n := range s.stock {
		st, _, err := o.Stock(t.Context(), sku)
		if err != nil || st.OnHand != n || st.Reserved != held[sku] || held[sku] > n {
			t.Errorf("%+v, of which there were %d, and %d are held; %v", st, n, held[sku], err)
		}
	}
	t.Logf("%d of %d orders are rejected", rejected, len(s.placements))
}
