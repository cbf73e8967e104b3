package gateway

import (
	"runtime"
	"testing"
)

// pagesMemory is the most that the pages may hold when nobody looks at them any more.
const pagesMemory = 5 << 20

// Pages that were seen are not kept.
func TestPagesHoldLittle(t *testing.T) {
	o, paths := furnished(t)
	o.open("/") // what the first one makes, as connections and buffers, is not of the pages alone
	before := held()
	for range 20 {
		for _, path := range paths {
			o.open(path)
		}
	}
	if after := held(); after > before+pagesMemory {
		t.Errorf("the pages hold %d KiB", (after-before)>>10)
	}
}

// held is the memory that is in use.
func held() uint64 {
	for range 3 { // pools are emptied by the second collection
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
