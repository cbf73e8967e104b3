package processor_test

import (
	"context"
	"fmt"
	"testing"

	"millrace"
	"millrace/processor"
	"millrace/streams"
)

// The first tasks of a log that a worker finds are marked before they run, unless the
// broker is known to remember who had them.
func TestMarksOfAFirstDelivery(t *testing.T) {
	for _, remembers := range []bool{false, true} {
		t.Run(fmt.Sprintf("remembers: %v", remembers), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroker(t)
				store := open(t, b, streams.Config{})
				const n = 10
				for i := range n {
					submit(t, store, newTask(fmt.Sprintf("t%d", i), "test.do"))
				}
				p := processor.New(store, processor.Config{BrokerRemembers: remembers})
				handle(p, "test.do", func(context.Context, millrace.RawTask) (any, error) { return nil, nil })
				stop := start(t, p)
				for i := range n {
					finished(t, store, fmt.Sprintf("t%d", i))
				}
				stop()
				writes := n
				if !remembers {
					writes *= 2
				}
				if got := streamState(t, b, "KV_results").LastSeq; got != uint64(writes) {
					t.Errorf("%d writes of records, want %d", got, writes)
				}
			})
		})
	}
}
