package orders_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/orders"
	"millrace/processor"
	"millrace/streams"
)

// The worker dies between its only write and the end of the task, so the task is
// done twice: the second time finds the order there.
func TestWorkerDiesAfterTheWrite(t *testing.T) {
	s := openShop(t)
	receipt := s.place(t, mugs("twice"))
	// A twin of the task in another queue is what writes the order first.
	s.submit(t, "critical", "twin", mugs("twice"))
	stop := s.work(t, processor.Queue{Name: "critical"})
	first := s.outcome(t, "twin")
	stop()
	order, version := s.get(t, "twice")

	s.work(t)
	if second := s.outcome(t, receipt.TaskID); second != first || second.State != orders.AwaitingPayment {
		t.Errorf("%+v, then %+v", first, second)
	}
	if again, now := s.get(t, "twice"); now != version || len(again.History) != len(order.History) {
		t.Errorf("the order was written again: %s, then %s", version, now)
	}
}

// The worker dies before its write: the task comes again.
func TestWorkerDiesBeforeTheWrite(t *testing.T) {
	s := openShop(t)
	receipt := s.place(t, mugs("again"))
	take(t, s.store)
	if order, _ := s.get(t, "again"); order.State != orders.Placed {
		t.Errorf("taken, but not recorded: %s", order.State)
	}
	s.work(t)
	if out := s.outcome(t, receipt.TaskID); out.State != orders.AwaitingPayment {
		t.Errorf("%+v", out)
	}
	if order, _ := s.get(t, "again"); order.State != orders.AwaitingPayment || len(order.History) != 2 {
		t.Errorf("%+v", order)
	}
}

// take takes a task off the default queue and does nothing with it, as a worker
// that dies.
func take(t *testing.T, store *streams.Store) {
	t.Helper()
	puller, err := store.Pull(millrace.DefaultQueue)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		taken, err := puller.Next(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(taken) > 0 {
			break
		}
	}
	if err := puller.Close(); err != nil {
		t.Fatal(err)
	}
}

// Two workers have the same orders at the same time, 50 times.
func TestTwoWorkersAtOnce(t *testing.T) {
	s := openShop(t)
	var twins []string
	for range 50 {
		id := millrace.NewID()
		s.submit(t, "critical", id+"-one", mugs(id))
		s.submit(t, "bulk", id+"-two", mugs(id))
		twins = append(twins, id)
	}
	s.work(t, processor.Queue{Name: "critical"})
	s.work(t, processor.Queue{Name: "bulk"})
	for _, id := range twins {
		one, two := s.outcome(t, id+"-one"), s.outcome(t, id+"-two")
		if one != two || one.State != orders.AwaitingPayment || one.TotalMinor != mugsTotal {
			t.Errorf("%+v and %+v", one, two)
		}
		if order, _ := s.get(t, id); len(order.History) != 2 {
			t.Errorf("%+v", order.History)
		}
	}
}

// Tasks of one's own making, past Place: an order that is not valid is rejected,
// and what cannot become an order fails for good.
func TestHandMadeTasks(t *testing.T) {
	s := openShop(t)
	invalid := mugs("invalid")
	invalid.Items[1].Quantity = -3
	overflow := mugs("overflow")
	overflow.Items[0].Quantity, overflow.Items[0].UnitPriceMinor = 1<<62, 1<<62
	nameless := mugs("")
	odd := mugs("a.b")
	other := mugs("taken")
	other.Reference = "another"
	for id, p := range map[string]orders.Placement{"t1": invalid, "t2": overflow, "t3": nameless, "t4": odd, "t5": mugs("taken")} {
		s.submit(t, "", id, p)
	}
	s.submit(t, "", "t6", json.RawMessage(`{"order_id":"x","items":"none"}`))
	s.submit(t, "", "t7", nil)
	s.work(t)

	for id, reason := range map[string]string{"t1": "quantity is -3", "t2": "at most 1000000000"} {
		out := s.outcome(t, id)
		if out.State != orders.Rejected || !strings.Contains(out.Reason, reason) || out.TotalMinor != 0 {
			t.Errorf("%+v", out)
		}
		order, _ := s.get(t, out.OrderID)
		if last := order.History[len(order.History)-1]; order.State != orders.Rejected || last.Reason != out.Reason || last.TaskID != id {
			t.Errorf("%+v", order)
		}
	}
	if out := s.outcome(t, "t5"); out.State != orders.AwaitingPayment {
		t.Errorf("%+v", out)
	}
	s.submit(t, "", "t8", other)
	for id, reason := range map[string]string{"t3": "order_id", "t4": "order_id", "t6": "do not decode", "t7": "order_id", "t8": "not the same"} {
		if r := s.wait(t, id); r.State != millrace.Failed || len(r.Attempts) != 1 || !strings.Contains(r.Error, reason) {
			t.Errorf("%s: %s after %d attempts: %s", id, r.State, len(r.Attempts), r.Error)
		}
	}
	if order, _ := s.get(t, "taken"); order.Reference != "536365" {
		t.Errorf("%+v", order)
	}
}
