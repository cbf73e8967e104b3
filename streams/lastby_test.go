package streams_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"millrace/streams"
)

// What is written again while it is looked up is found all the same: the server breaks
// a look-up off then.
func TestLookUpWhileWritten(t *testing.T) {
	b := newBroker(t)
	ledger := open(t, b, streams.Config{}).Ledger()
	keys := make([]string, 40)
	for i := range keys {
		keys[i] = fmt.Sprintf("stock.a%d", i)
		if _, err := ledger.Put(t.Context(), keys[i], []byte("0"), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for w := range 4 {
		writing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := keys[(n*4+w)%len(keys)]
				_, revision, err := ledger.Get(t.Context(), key)
				if err == nil {
					_, err = ledger.Put(t.Context(), key, []byte("1"), revision, 0)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 300 {
		found, err := ledger.Read(t.Context(), keys)
		if err != nil || len(found) != len(keys) {
			t.Errorf("%d of %d are found: %v", len(found), len(keys), err)
			break
		}
	}
	stop()
	writing.Wait()
}
