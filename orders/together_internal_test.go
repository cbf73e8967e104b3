package orders

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"testing"
)

// together lets things be done in one batch: they wait while the ledger is at another.
func together(t *testing.T, o *Orders, all ...func()) {
	t.Helper()
	busy, release := make(chan struct{}), make(chan struct{})
	done := make(chan struct{}, len(all)+1)
	go func() {
		first := true
		_ = o.ledger.do(t.Context(), &command{skus: []string{"BUSY"}, apply: func(*books) error {
			if first {
				first = false
				close(busy)
				<-release
			}
			return nil
		}})
		done <- struct{}{}
	}()
	<-busy
	for _, do := range all {
		go func() {
			do()
			done <- struct{}{}
		}()
	}
	for waiting := 0; waiting < len(all); runtime.Gosched() {
		o.ledger.mu.Lock()
		waiting = len(o.ledger.waiting)
		o.ledger.mu.Unlock()
	}
	close(release)
	for range cap(done) {
		<-done
	}
}

// Of those who count the same stock as they saw it last, one is right, also if they
// come at once.
func TestOneOfThoseWhoSawTheSame(t *testing.T) {
	o, _ := openLedger(t)
	_, version, err := o.SetStock(t.Context(), "HOT", 10, "")
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 16)
	var all []func()
	for i := range errs {
		all = append(all, func() { _, _, errs[i] = o.SetStock(t.Context(), "HOT", int64(20+i), version) })
	}
	together(t, o, all...)
	right := 0
	for _, err := range errs {
		switch {
		case err == nil:
			right++
		case !errors.Is(err, ErrChanged):
			t.Error(err)
		}
	}
	if right != 1 {
		t.Errorf("%d were right", right)
	}
}

// A version is of one state, however many changed it in the same batch.
func TestAVersionIsOfOneState(t *testing.T) {
	o, _ := openLedger(t)
	if _, _, err := o.SetStock(t.Context(), "HOT", 10, ""); err != nil {
		t.Fatal(err)
	}
	order := Placement{OrderID: "one", Currency: "GBP", Items: []Line{{SKU: "HOT", Quantity: 1, UnitPriceMinor: 5}}}
	if err := o.ledger.do(t.Context(), placing(order, func(b *books) error {
		_, err := b.place(order, "task", b.now)
		return err
	}))[0]; err != nil {
		t.Fatal(err)
	}
	states := map[string]any{}
	see := func(version string, state any, err error) {
		if err != nil {
			t.Error(err)
		} else if seen, ok := states[version]; ok && !reflect.DeepEqual(seen, state) {
			t.Errorf("%s is of %+v, and of %+v", version, seen, state)
		}
		states[version] = state
	}
	stocks, orders := make([]func(), 8), make([]func(), 8)
	var all []func()
	for i := range stocks {
		all = append(all,
			func() {
				s, version, err := o.AdjustStock(t.Context(), "HOT", Adjustment{Delta: 1, Reason: "came in"})
				stocks[i] = func() { see(version, s, err) }
			},
			func() {
				one, version, err := o.Pay(t.Context(), "one", Payment{Reference: fmt.Sprint(i), AmountMinor: 5, Currency: "GBP"})
				orders[i] = func() { see(version, one, err) }
			})
	}
	together(t, o, all...)
	for i := range stocks {
		stocks[i]()
		orders[i]()
	}
}
