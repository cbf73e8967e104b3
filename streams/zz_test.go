package streams_test

import (
	"fmt"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

func TestZZ(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	for _, n := range []int{8, 9, 16, 64, 500} {
		for round := range 3 {
			tasks := make([]millrace.RawTask, n)
			for i := range tasks {
				tasks[i] = newTask(fmt.Sprintf("t%d-%d", n, i))
			}
			start := time.Now()
			errs := store.SubmitMany(t.Context(), tasks)
			t.Log(n, round, time.Since(start), errs[0])
		}
	}
}
