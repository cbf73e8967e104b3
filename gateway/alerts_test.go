package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace/alerts"
)

// What is wrong stands on the first page, on its own, and in the API; and no more when it
// is over.
func TestAlertsAreShown(t *testing.T) {
	o := newOperator(t)
	var full atomic.Bool
	full.Store(true)
	watch, err := alerts.New(o.store, alerts.Config{Every: 10 * time.Millisecond, Disk: func(context.Context) (used, size uint64, err error) {
		if full.Load() {
			return 95, 100, nil
		}
		return 5, 100, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	o.run(watch.Run)
	count := func(list string) int {
		_, found := o.ask(http.StatusOK, "GET", "/v1/alerts", "")
		return len(found[list].([]any))
	}
	until := func(active, resolved int) {
		t.Helper()
		for end := time.Now().Add(time.Minute); count("active") != active || count("resolved") != resolved; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d alerts are active and %d over", count("active"), count("resolved"))
			}
		}
	}
	const tile = `<a class="tile bad" href="/alerts"><b>1</b>`
	until(1, 0)
	o.shows(o.open("/"), tile, "on the broker's disk")
	o.shows(o.open("/alerts"), "disk-full", "95 % of the disk is taken")
	full.Store(false)
	until(0, 1)
	if strings.Contains(o.open("/"), tile) {
		t.Error("it is over, and shown on the first page")
	}
}
