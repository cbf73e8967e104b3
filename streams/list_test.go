package streams_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/streams"
)

// listAll pages through a list and returns the ids.
func listAll(t *testing.T, store *streams.Store, q streams.ListQuery) (ids []string) {
	t.Helper()
	for {
		page, err := store.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Tasks) > q.Limit {
			t.Fatalf("a page of %d, and %d were asked for", len(page.Tasks), q.Limit)
		}
		for _, r := range page.Tasks {
			ids = append(ids, r.ID)
		}
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
}

// What waits, runs or has run is listed, the newest first, whatever the pages are.
func TestList(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		if got := listAll(t, store, streams.ListQuery{Limit: 10}); len(got) != 0 {
			t.Errorf("an empty store lists %v", got)
		}
		submit(t, store, newTask("done"), newTask("retried"), newTask("off"), newTask("parked"))
		p := pull(t, store, "default")
		byID := map[string]*streams.Delivery{}
		for _, d := range take(t, p, 4) {
			byID[d.Task.ID] = d
		}
		second := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		later := newTask("later")
		later.Kind, later.Queue = "mail.send", "bulk"
		second(store.SubmitAt(t.Context(), later, time.Now().Add(time.Hour)))
		second(store.Finish(t.Context(), byID["done"], recordOf(byID["done"], millrace.Succeeded), time.Hour))
		second(store.SubmitAt(t.Context(), newTask("tomorrow"), time.Now().Add(24*time.Hour)))
		second(store.Retry(t.Context(), byID["retried"], recordOf(byID["retried"], millrace.Retrying), time.Second))
		second(store.Retry(t.Context(), byID["parked"], recordOf(byID["parked"], millrace.Retrying), time.Minute))
		_, err := store.Cancel(t.Context(), "off")
		second(err)
		second(store.SubmitAt(t.Context(), newTask("never"), time.Now().Add(time.Hour)))
		_, err = store.Cancel(t.Context(), "never")
		second(err)
		submit(t, store, newTask("pending"))

		all := []string{"pending", "never", "off", "parked", "retried", "tomorrow", "done", "later"}
		for _, limit := range []int{1, 2, 3, 100, 100_000} {
			if diff := cmp.Diff(all, listAll(t, store, streams.ListQuery{Limit: limit})); diff != "" {
				t.Errorf("by %d (-want +got):\n%s", limit, diff)
			}
		}
		for _, c := range []struct {
			q    streams.ListQuery
			want []string
		}{
			{streams.ListQuery{State: millrace.Retrying}, []string{"parked", "retried"}},
			{streams.ListQuery{State: millrace.Scheduled}, []string{"tomorrow", "later"}},
			{streams.ListQuery{State: millrace.Cancelled}, []string{"never", "off"}},
			{streams.ListQuery{State: millrace.Pending}, []string{"pending"}},
			{streams.ListQuery{Kind: "mail.send"}, []string{"later"}},
			{streams.ListQuery{Queue: "default", State: millrace.Scheduled}, []string{"tomorrow"}},
			{streams.ListQuery{Queue: "critical"}, nil},
		} {
			c.q.Limit = 1
			if diff := cmp.Diff(c.want, listAll(t, store, c.q)); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", c.q, diff)
			}
		}
		for _, cursor := range []string{"x", "KV_results", "KV_results.", "KV_results.!", "KV_results.1", ".5", "KV_results.5~", "~"} {
			if _, err := store.List(t.Context(), streams.ListQuery{Limit: 1, Cursor: cursor}); !errors.Is(err, millrace.ErrInvalid) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		// What has expired is not shown, as by Lookup.
		time.Sleep(time.Hour)
		if got := listAll(t, store, streams.ListQuery{State: millrace.Succeeded, Limit: 10}); len(got) != 0 {
			t.Errorf("after its time %v is listed", got)
		}
	})
}

// Long lists are read in windows: through dense parts, through gaps, and where
// records are so large that few fit into an answer.
func TestListIsReadInWindows(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	js := inspect(t, b)
	var want []string
	put := func(id string, result string) {
		t.Helper()
		data, err := json.Marshal(millrace.Record{ID: id, Kind: "k", Queue: "default", State: millrace.Running, Result: json.RawMessage(result)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "$KV.results."+id, data); err != nil {
			t.Fatal(err)
		}
		want = slices.DeleteFunc(want, func(s string) bool { return s == id })
		want = append(want, id)
	}
	put("eldest", `1`)
	for i := range 1200 {
		put(fmt.Sprintf("dense%d", i), `1`)
	}
	for range 3000 { // leaves a gap behind
		if _, err := js.Publish(t.Context(), "$KV.results.again", []byte(`{"id":"again","kind":"other"}`)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		put(fmt.Sprintf("large%d", i), `"`+strings.Repeat("x", 900<<10)+`"`)
	}
	slices.Reverse(want)
	for _, limit := range []int{7, 500} {
		if diff := cmp.Diff(want, listAll(t, store, streams.ListQuery{Kind: "k", Limit: limit})); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
}
