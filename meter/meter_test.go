package meter_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace/meter"
)

// However many labels come, and from wherever, each count is kept and the labels are few.
func TestLabelsAreBounded(t *testing.T) {
	by := meter.NewBy(10, func(string) string { return "other" }, func() *atomic.Int64 { return new(atomic.Int64) })
	var counting sync.WaitGroup
	for range 8 {
		counting.Go(func() {
			for i := range 1000 {
				by.Of(strconv.Itoa(i)).Add(1)
			}
		})
	}
	counting.Wait()
	labels, sum := 0, int64(0)
	for label, n := range by.All() {
		labels++
		sum += n.Load()
		if label != "other" && n.Load() > 8 {
			t.Errorf("%s: %d", label, n.Load())
		}
	}
	if labels != 11 || sum != 8000 {
		t.Errorf("%d labels have %d", labels, sum)
	}
}

func TestHistogram(t *testing.T) {
	h := meter.Times()
	for _, d := range []time.Duration{-time.Second, time.Millisecond, 2 * time.Millisecond, time.Second, 2 * time.Hour} {
		h.Time(d)
	}
	r := h.Read()
	if r.Count != 5 || r.Sum != 7201.003 || r.AtMost[0.001] != 2 || r.AtMost[0.005] != 3 || r.AtMost[1] != 4 || r.AtMost[3600] != 4 {
		t.Errorf("%+v", r)
	}
}

func BenchmarkOf(b *testing.B) {
	type label struct{ queue, kind string }
	by := meter.NewBy(10, func(l label) label { return l }, meter.Times)
	for b.Loop() {
		by.Of(label{"default", "order.placed"}).Time(time.Second)
	}
}
