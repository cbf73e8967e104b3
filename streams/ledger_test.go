package streams_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// Entries and events change together, if each entry has the revision that is expected.
func TestCommit(t *testing.T) {
	b := newBroker(t)
	ledger := open(t, b, streams.Config{}).Ledger()
	first, err := ledger.Commit(t.Context(),
		[]streams.Write{{Key: "order.1", Value: []byte("placed")}, {Key: "stock.A", Value: []byte("9")}},
		[]streams.Event{{OrderID: "1", Number: 1, Data: []byte("placed"), TTL: time.Hour}})
	if err != nil || len(first) != 2 {
		t.Fatal(first, err)
	}
	want := func(order, stock string, revisions []uint64) {
		t.Helper()
		got, err := ledger.Read(t.Context(), []string{"order.1", "stock.A", "stock.B"})
		if err != nil || len(got) != 2 || string(got["order.1"].Value) != order || string(got["stock.A"].Value) != stock ||
			got["order.1"].Revision != revisions[0] || got["stock.A"].Revision != revisions[1] {
			t.Fatalf("%v, %v", got, err)
		}
	}
	want("placed", "9", first)

	for what, try := range map[string]func() error{
		"a revision of before": func() error {
			_, err := ledger.Commit(t.Context(), []streams.Write{
				{Key: "order.1", Value: []byte("paid"), Revision: first[0]}, {Key: "stock.A", Value: []byte("8"), Revision: first[1] + 7},
			}, nil)
			return err
		},
		"an entry that is there": func() error {
			_, err := ledger.Commit(t.Context(), []streams.Write{{Key: "order.2", Value: []byte("placed")}, {Key: "stock.A", Value: []byte("8")}}, nil)
			return err
		},
	} {
		if err := try(); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
		want("placed", "9", first)
	}

	second, err := ledger.Commit(t.Context(), []streams.Write{
		{Key: "order.1", Value: []byte("paid"), Revision: first[0]}, {Key: "stock.A", Value: []byte("8"), Revision: first[1]},
	}, []streams.Event{{OrderID: "1", Number: 2, Data: []byte("paid")}})
	if err != nil {
		t.Fatal(err)
	}
	want("paid", "8", second)
}

func TestLargeCommits(t *testing.T) {
	b := newBroker(t)
	ledger := open(t, b, streams.Config{}).Ledger()
	var writes []streams.Write
	var keys []string
	for i := range streams.MaxWrites {
		keys = append(keys, fmt.Sprintf("stock.%d", i))
		writes = append(writes, streams.Write{Key: keys[i], Value: []byte(strings.Repeat("x", 100))})
	}
	if _, err := ledger.Commit(t.Context(), append(writes, streams.Write{Key: "stock.more"}), nil); !errors.Is(err, millrace.ErrInvalid) {
		t.Error("too many:", err)
	}
	if _, err := ledger.Commit(t.Context(), append(writes[1:], streams.Write{Key: "stock.0", Value: make([]byte, 2<<20)}), nil); !errors.Is(err, millrace.ErrInvalid) {
		t.Error("too large:", err)
	}
	if got, err := ledger.Read(t.Context(), keys); len(got) != 0 || err != nil {
		t.Errorf("%d entries, %v", len(got), err)
	}
	revisions, err := ledger.Commit(t.Context(), writes, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ledger.Read(t.Context(), append(keys, "stock.more"))
	if err != nil || len(got) != len(keys) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	for i, key := range keys {
		if got[key].Revision != revisions[i] {
			t.Fatalf("%s has the revision %d, not %d", key, got[key].Revision, revisions[i])
		}
	}
}
