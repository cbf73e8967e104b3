package streams_test

import (
	"fmt"
	"sync"
	"testing"

	"millrace/streams"
)

// What is read in several requests, since it is large, is all there, though it is
// written again and again meanwhile.
func TestReadsWhatChangesMeanwhile(t *testing.T) {
	b := newBroker(t)
	ledger := open(t, b, streams.Config{}).Ledger()
	value := make([]byte, 900<<10)
	var keys []string
	var newest []uint64
	for i := range 14 { // 12 MB, of which the broker sends 8 at once
		keys = append(keys, fmt.Sprintf("stock.%d", i))
		var err error
		if newest, err = ledger.Commit(t.Context(), []streams.Write{{Key: keys[i], Value: value}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for { // the newest, which the broker sends last
			select {
			case <-stop:
				return
			default:
			}
			var err error
			if newest, err = ledger.Commit(t.Context(), []streams.Write{{Key: keys[13], Value: value, Revision: newest[0]}}, nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 20 {
		found, err := ledger.Read(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if len(found[key].Value) != len(value) {
				t.Errorf("%s has %d bytes", key, len(found[key].Value))
			}
		}
	}
	close(stop)
	writing.Wait()
}
