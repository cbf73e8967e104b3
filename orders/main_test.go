package orders_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace"
	"millrace/embedded"
	"millrace/orders"
	"millrace/processor"
	"millrace/streams"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := placeUntilKilled(dir); err != nil {
			fmt.Println("error:", err)
		}
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// shop is a store on a real server, and the orders in it.
type shop struct {
	*orders.Orders
	store  *streams.Store
	server *embedded.Server
}

func openShop(t testing.TB) shop {
	t.Helper()
	return openShopIn(t, t.TempDir())
}

func openShopIn(t testing.TB, dir string) shop {
	t.Helper()
	s, shut, err := startShop(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shut)
	return s
}

func startShop(ctx context.Context, dir string) (s shop, shut func(), err error) {
	server, err := embedded.Start(ctx, embedded.Config{DataDir: dir, Port: -1})
	if err != nil {
		return shop{}, nil, err
	}
	// A task whose worker died comes again after a second.
	store, err := streams.Open(ctx, streams.Config{InProcess: server, AckWait: time.Second})
	if err != nil {
		server.Shutdown()
		return shop{}, nil, err
	}
	return shop{orders.New(store, orders.Config{}), store, server}, func() { store.Close(); server.Shutdown() }, nil
}

// work runs a worker until the test is over, or stop is called.
func (s shop) work(t testing.TB, queues ...processor.Queue) (stop func()) {
	t.Helper()
	p := processor.New(s.store, processor.Config{Queues: queues})
	s.Register(p)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// wait waits until the task is finished.
func (s shop) wait(t testing.TB, taskID string) millrace.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, err := s.store.Wait(ctx, taskID)
	if err != nil {
		t.Fatal(err)
	}
	if !found.Record.State.Final() {
		t.Fatalf("task %s is still %s: %s", taskID, found.Record.State, found.Record.Error)
	}
	return found.Record
}

// outcome waits for a task that must succeed, and returns what it says.
func (s shop) outcome(t testing.TB, taskID string) orders.Outcome {
	t.Helper()
	r := s.wait(t, taskID)
	if r.State != millrace.Succeeded {
		t.Fatalf("task %s: %s: %s", taskID, r.State, r.Error)
	}
	var out orders.Outcome
	if err := json.Unmarshal(r.Result, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (s shop) place(t testing.TB, p orders.Placement) orders.Receipt {
	t.Helper()
	r, err := s.Place(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s shop) get(t testing.TB, id string) (orders.Order, string) {
	t.Helper()
	o, version, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o, version
}

// submit submits a task of one's own making.
func (s shop) submit(t testing.TB, queue, id string, args any) {
	t.Helper()
	data, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Submit(t.Context(), millrace.RawTask{ID: id, Kind: orders.KindPlaced, Queue: queue, Args: data}); err != nil {
		t.Fatal(err)
	}
}

// mugs is an order of 2 x 2.50 + 1 x 3.99.
func mugs(id string) orders.Placement {
	return orders.Placement{
		OrderID: id, Reference: "536365", CustomerID: "17850", Country: "United Kingdom", Currency: "GBP", Date: "1/12/2010",
		Items: []orders.Line{
			{SKU: "22632", Description: "MUG", Quantity: 2, UnitPriceMinor: 250},
			{SKU: "BANK CHARGES", Quantity: 1, UnitPriceMinor: 399},
		},
	}
}

const mugsTotal = 899
