package orders_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/orders"
	"millrace/streams"
	"millrace/test/broker"
)

const flushTime = 10 * time.Second

// market is several processes that work on the same orders, and die now and then, and
// actors who do what comes to their mind.
type market struct {
	t     *testing.T
	b     *broker.Broker
	audit *audit
	name  string // that all its orders and SKUs begin with
	skus  []string
	goods []orders.Placement

	mu        sync.Mutex
	rand      *rand.Rand
	processes []*process
	deaths    int
	began     map[string]uint64          // by order: what had been heard when it was decided on for the first time
	said      map[string][]orders.State  // by order: what callers were told that it had come to
	paid      map[string]map[string]bool // by reference: the orders for which it was said to be taken
	adjusted  []string
}

type process struct {
	*orders.Orders
	way   *broker.Mortal
	store *streams.Store
}

func (m *market) draw(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rand.IntN(n)
}

// start starts a process that has so many writes to live.
func (m *market) start(writes int) *process {
	w := &broker.Mortal{Broker: m.b, Left: writes}
	store, err := streams.Open(context.Background(), streams.Config{InProcess: w})
	if err != nil {
		m.t.Error(err)
		return nil
	}
	return &process{orders.New(store, orders.Config{PaymentTime: 1}), w, store} // every order is late already
}

// process is one of those that live.
func (m *market) process() *process {
	i := m.draw(len(m.processes))
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.processes[i]; !p.way.Died() {
		return p
	}
	m.processes[i].store.Close()
	m.deaths++
	m.processes[i] = m.start(10 + m.rand.IntN(120))
	return m.processes[i]
}

func openMarket(t *testing.T, b *broker.Broker, a *audit, seed uint64) *market {
	m := &market{
		t: t, b: b, audit: a, name: fmt.Sprintf("m%d", seed), rand: rand.New(rand.NewPCG(seed, seed)),
		began: map[string]uint64{}, said: map[string][]orders.State{}, paid: map[string]map[string]bool{},
	}
	m.skus = []string{m.name + " A", m.name + " a", m.name + "=B", m.name + "*"}
	for range 4 {
		m.processes = append(m.processes, m.start(math.MaxInt))
	}
	for _, sku := range m.skus[:3] {
		if _, _, err := m.processes[0].SetStock(t.Context(), sku, int64(4+m.rand.IntN(12)), ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range m.processes {
		p.way.Left = 10 + m.rand.IntN(120)
	}
	for i := range 20 {
		p := orders.Placement{OrderID: fmt.Sprintf("%s-%d", m.name, i), Currency: "GBP", CustomerID: "me"}
		for range 1 + m.rand.IntN(4) {
			p.Items = append(p.Items, orders.Line{SKU: m.skus[m.rand.IntN(4)], Quantity: int64(1 + m.rand.IntN(3)), UnitPriceMinor: 5})
		}
		m.goods = append(m.goods, p)
	}
	return m
}

// act does something at random with one of the processes.
func (m *market) act() error {
	p, goods := m.process(), m.goods[m.draw(len(m.goods))]
	id := goods.OrderID
	ctx := context.Background()
	reminder := millrace.Task[orders.Reminder]{ID: id + "-x", Args: orders.Reminder{OrderID: id}}
	switch m.draw(13) {
	case 0, 1, 2, 3:
		// One that was delivered before, or not, and others beside it, in any order.
		batch := []orders.Placement{goods}
		for range m.draw(4) {
			batch = append(batch, m.goods[m.draw(len(m.goods))])
		}
		return m.decide(p, batch)
	case 4, 5:
		reference := []string{id + "-one", id + "-one", id + " two", m.name + "-any"}[m.draw(4)]
		o, _, err := p.Pay(ctx, id, orders.Payment{Reference: reference, AmountMinor: total(goods), Currency: "GBP"})
		if err == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.paid[reference] == nil {
				m.paid[reference] = map[string]bool{}
			}
			m.paid[reference][o.ID] = true
		}
		return err
	case 6:
		_, err := p.Place(ctx, goods) // which no worker comes to, so that it may be cancelled before it is decided on
		return err
	case 12:
		o, _, err := p.Cancel(ctx, id, "because")
		return m.told(o, err, orders.Cancelled)
	case 7, 8:
		results, err := p.End(ctx, reminder)
		if err == nil {
			err = results[0].Err
		}
		if _, early := errors.AsType[*millrace.SnoozeError](err); early {
			return nil // it was placed in the same moment
		}
		return err
	case 9:
		o, _, err := p.Fulfil(ctx, id)
		return m.told(o, err, orders.Fulfilled)
	case 10:
		standing, err := p.Send(ctx, reminder)
		return m.told(orders.Order{ID: id, State: standing.State}, err, orders.Fulfilled)
	default:
		n := m.draw(20)
		a := orders.Adjustment{ID: fmt.Sprint(n), Delta: int64(n%7 - 3), Reason: "counted again"}
		if a.Delta == 0 {
			a.Delta = 5
		}
		sku := m.skus[m.draw(3)]
		_, _, err := p.AdjustStock(ctx, sku, a)
		if errors.Is(err, millrace.ErrInvalid) {
			return nil // there would be less than none
		}
		if err == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.adjusted = append(m.adjusted, sku+" "+a.ID)
		}
		return err
	}
}

func total(p orders.Placement) int64 {
	n, _ := orders.Total(p.Items)
	return n
}

func (m *market) decide(p *process, batch []orders.Placement) error {
	m.mu.Lock()
	for _, one := range batch {
		if _, ok := m.began[one.OrderID]; !ok {
			m.began[one.OrderID] = m.audit.heard()
		}
	}
	m.mu.Unlock()
	results, err := p.Decide(context.Background(), placing(batch...)...)
	if err != nil {
		return err
	}
	for _, r := range results {
		err = errors.Join(err, m.told(orders.Order{ID: r.Value.OrderID, State: r.Value.State}, r.Err, r.Value.State))
	}
	return err
}

// told notes what a caller was told.
func (m *market) told(o orders.Order, err error, want orders.State) error {
	if err != nil {
		return err
	}
	if o.State != want {
		m.t.Errorf("%s is %s, not %s", o.ID, o.State, want)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said[o.ID] = append(m.said[o.ID], o.State)
	return nil
}

// trade lets actors act, all at once.
func (m *market) trade(actors, commands int) {
	var acting sync.WaitGroup
	for range actors {
		acting.Go(func() {
			for range commands {
				err := m.act()
				if err != nil && !errors.Is(err, millrace.ErrConflict) && !errors.Is(err, millrace.ErrNotFound) && !errors.Is(err, millrace.ErrUnavailable) {
					m.t.Error(err)
				}
			}
		})
	}
	acting.Wait()
	for _, p := range m.processes {
		p.store.Close()
	}
}

// settle compares what callers were told with what is true.
func (m *market) settle() {
	a := m.audit
	a.check(m.t)
	for id, all := range m.said {
		for _, state := range all {
			if !slices.ContainsFunc(a.orders[id].History, func(c orders.Change) bool { return c.State == state }) {
				m.t.Errorf("somebody was told that %s is %s, and it is %+v", id, state, a.orders[id].History)
			}
		}
	}
	for reference, ids := range m.paid {
		for id := range ids {
			if !slices.ContainsFunc(a.orders[id].Payments, func(p orders.Payment) bool { return p.Reference == reference }) {
				m.t.Errorf("somebody was told that %s has paid for %s, which has %+v", reference, id, a.orders[id].Payments)
			}
		}
	}
	for _, id := range m.adjusted {
		if !a.adjusted[id] {
			m.t.Errorf("somebody was told of the adjustment %s, which was not made", id)
		}
	}
	states := map[orders.State]int{}
	for _, p := range m.goods {
		o := a.orders[p.OrderID]
		states[o.State]++
		if o.State == orders.Rejected {
			a.rejectedRightly(m.t, o.ID, m.began[o.ID])
		}
	}
	m.t.Logf("seed %s: %v, and %d processes died", m.name, states, m.deaths)
}

// Whatever anybody does at the same time, and whoever dies, the books balance after
// each batch, and everybody was told the truth.
func TestActors(t *testing.T) {
	b := newBroker(t)
	connect(t, b)
	a := listen(t, b)
	for seed := range uint64(7) {
		m := openMarket(t, b, a, seed)
		m.trade(6, 20)
		m.settle()
		if t.Failed() {
			t.Fatalf("so it went with the seed %d", seed)
		}
	}
}
