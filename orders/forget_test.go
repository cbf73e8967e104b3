package orders_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"millrace"
	"millrace/orders"
	"millrace/test/broker"
)

// bubble runs do on virtual time, from now on.
func bubble(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	broker.Bubble(t, time.Now(), do)
}

// reconcile has the orders looked through, and returns what was found.
func (s shop) reconcile(t *testing.T) (r orders.Reconciled) {
	t.Helper()
	id := millrace.NewID()
	if err := s.store.Submit(t.Context(), millrace.RawTask{ID: id, Kind: orders.KindReconcile}); err != nil {
		t.Fatal(err)
	}
	record := s.wait(t, id)
	if err := json.Unmarshal(record.Result, &r); err != nil {
		t.Fatalf("%s %s: %v", record.State, record.Error, err)
	}
	return r
}

// Closed orders go when their time is over, and out of the list with them. What waits
// for its payment stays, and so does what somebody is owed money for.
func TestRetention(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := openShop(t).reopen(orders.Config{Retention: 2 * time.Hour, PaymentTime: 1000 * time.Hour})
		s.work(t)
		for _, id := range []string{"cancelled", "owed", "waits", "fulfilled"} {
			s.open(t, mugs(id))
		}
		s.pay(t, "fulfilled", "p1")
		s.wait(t, "fulfilled-fulfil")
		s.cancel(t, "cancelled")
		s.cancel(t, "owed")
		s.pay(t, "owed", "p2")
		want := func(wanted orders.Reconciled, ids ...string) {
			t.Helper()
			if r := s.reconcile(t); r != wanted {
				t.Errorf("found %+v, want %+v", r, wanted)
			}
			if got := s.list(t, orders.Query{Limit: 3}, func() {}); !slices.Equal(got, ids) {
				t.Errorf("listed are %v, want %v", got, ids)
			}
		}
		time.Sleep(time.Hour + 59*time.Minute)
		want(orders.Reconciled{Looked: 4}, "fulfilled", "waits", "owed", "cancelled")
		time.Sleep(2 * time.Minute)
		for _, id := range []string{"cancelled", "fulfilled"} {
			if _, _, err := s.Get(t.Context(), id); !errors.Is(err, millrace.ErrGone) {
				t.Errorf("%s: %v", id, err)
			}
			if _, _, err := s.Cancel(t.Context(), id, ""); !errors.Is(err, millrace.ErrGone) {
				t.Errorf("cancel %s: %v", id, err)
			}
			if _, err := s.Place(t.Context(), mugs(id)); !errors.Is(err, millrace.ErrGone) {
				t.Errorf("place %s again: %v", id, err)
			}
		}
		// Listed before it is swept, and after.
		if got := s.list(t, orders.Query{Limit: 3}, func() {}); !slices.Equal(got, []string{"waits", "owed"}) {
			t.Errorf("listed are %v", got)
		}
		want(orders.Reconciled{Looked: 2, Forgotten: 2}, "waits", "owed")
		want(orders.Reconciled{Looked: 2}, "waits", "owed")
	})
}
