package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"millrace/streams"
	"millrace/test/broker"
)

// Of the lines of one request with the same key, one is taken, and the others are told of
// it.
func TestBulkUnique(t *testing.T) {
	h := newBulkHost(t, Config{})
	var lines strings.Builder
	for i := range 300 {
		fmt.Fprintf(&lines, `{"id":"t%d","kind":"demo.echo","unique":{"key":"k%d","on_conflict":"%s"}}`+"\n", i, i%3, []string{"reject", "return"}[i%2])
	}
	resp, text := h.send(bulkPath, lines.String())
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, text)
	}
	checkHolders(t, parseAnswers(t, text, "k%d", 3), 3)
	if _, text = h.send(bulkPath+"?atomic=true", `{"id":"x","kind":"demo.echo"}`+"\n"+`{"id":"y","kind":"demo.echo","unique":{"key":"z"}}`+"\n"); h.exists("x") || !strings.Contains(text, "body.lines[2]") {
		t.Fatal(text)
	}
}

// The same keys are asked for at two gateways at once: each is had by one task.
func TestUniqueOverTwoGateways(t *testing.T) {
	b := broker.New(t)
	var hosts []bulkHost
	for range 2 {
		store, err := streams.Open(t.Context(), streams.Config{InProcess: b})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		h, _ := hostBulk(t, store, Config{})
		hosts = append(hosts, h)
	}
	const keys = 20
	var mu sync.Mutex
	all := map[string]map[string]int{}
	note := func(some map[string]map[string]int) {
		mu.Lock()
		defer mu.Unlock()
		for key, ids := range some {
			for id, n := range ids {
				if all[key] == nil {
					all[key] = map[string]int{}
				}
				all[key][id] += n
			}
		}
	}
	var sending sync.WaitGroup
	for g, h := range hosts {
		sending.Go(func() {
			var lines strings.Builder
			for i := range 5 * keys {
				fmt.Fprintf(&lines, `{"id":"g%d-%d","kind":"demo.echo","unique":{"key":"k%d","on_conflict":"return"}}`+"\n", g, i, i%keys)
			}
			_, text := h.send(bulkPath, lines.String())
			note(parseAnswers(t, text, "k%d", keys))
		})
		sending.Go(func() {
			for i := range keys {
				resp, err := http.Post(h.url+"/v1/tasks", "application/json", strings.NewReader(fmt.Sprintf(`{"kind":"demo.echo","unique":{"key":"k%d","on_conflict":"return"}}`, i)))
				if err != nil {
					t.Error(err)
					return
				}
				var a acceptedTask
				err = json.NewDecoder(resp.Body).Decode(&a)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusAccepted {
					t.Error(resp.Status, err)
				}
				note(map[string]map[string]int{fmt.Sprint("k", i): {a.ID: 1}})
			}
		})
	}
	sending.Wait()
	checkHolders(t, all, keys)
	for key, ids := range all {
		for id := range ids {
			if f, err := hosts[0].store.Lookup(t.Context(), id); err != nil {
				t.Error(key, f, err)
			}
		}
	}
}

// parseAnswers is which tasks had each key, by the answers to lines whose keys take turns.
func parseAnswers(t *testing.T, text, key string, keys int) map[string]map[string]int {
	t.Helper()
	all := map[string]map[string]int{}
	for line := range strings.Lines(text) {
		var a lineAnswer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Error(line, err)
			continue
		}
		id := a.ID
		if a.Status == http.StatusConflict { // it says who has the key
			_, id, _ = strings.Cut(a.Error, "task ")
			id, _, _ = strings.Cut(id, ",")
			id, _, _ = strings.Cut(id, " ")
		} else if a.Status != http.StatusAccepted {
			t.Error(line)
		}
		name := fmt.Sprintf(key, (a.Line-1)%keys)
		if all[name] == nil {
			all[name] = map[string]int{}
		}
		all[name][id]++
	}
	return all
}

func checkHolders(t *testing.T, all map[string]map[string]int, keys int) {
	t.Helper()
	if len(all) != keys {
		t.Errorf("there were %d keys, want %d", len(all), keys)
	}
	for key, ids := range all {
		if len(ids) != 1 {
			t.Errorf("%s was had by %v", key, ids)
		}
	}
}

// A line under an id that is there already is that task, or refused: it neither vanishes
// behind what has the id, nor replaces what has its key since.
func TestBulkUniqueAgain(t *testing.T) {
	h := newBulkHost(t, Config{})
	const (
		plain   = `{"id":"a","kind":"demo.echo","args":1}`
		another = `{"id":"a","kind":"demo.echo","args":2,"unique":{"key":"k"}}`
		first   = `{"id":"b","kind":"demo.echo","args":1,"unique":{"key":"k"}}`
		changed = `{"id":"b","kind":"demo.echo","args":2,"unique":{"key":"k"}}`
		later   = `{"id":"c","kind":"demo.echo","args":1,"delay":"1h","unique":{"key":"l","on_conflict":"replace"}}`
	)
	for i, c := range []struct{ line, want string }{
		{plain, `{"line":1,"status":202,"id":"a","state":"pending"}`},
		{another, `"status":409,"id":"a","type":"urn:millrace:problem:conflict"`},
		{first, `{"line":1,"status":202,"id":"b","state":"pending"}`},
		{first, `{"line":1,"status":202,"id":"b","state":"pending","replayed":true}`},
		{changed, `"status":409,"id":"b","type":"urn:millrace:problem:conflict"`},
		{later, `"status":202,"id":"c","state":"scheduled"`},
		{later, `"replayed":true`},
		{strings.Replace(later, `"l"`, `"k"`, 1), `"replayed":true`}, // and b is not replaced
	} {
		if _, text := h.send(bulkPath, c.line+"\n"); !strings.Contains(text, c.want) {
			t.Errorf("%d: %s", i, text)
		}
	}
}

// Of the lines with the same key the first one has it, and the last one is what runs,
// also if they are in parcels that are submitted at once.
func TestBulkUniqueInOrder(t *testing.T) {
	h := newBulkHost(t, Config{})
	const keys, lines = 20, 60 * 20
	var all strings.Builder
	for i := range lines {
		fmt.Fprintf(&all, `{"id":"t%d","kind":"demo.echo","args":%d,"delay":"1h","unique":{"key":"k%d","on_conflict":"replace"}}`+"\n", i, i, i%keys)
	}
	_, text := h.send(bulkPath, all.String())
	checkHolders(t, parseAnswers(t, text, "k%d", keys), keys)
	for k := range keys {
		f, err := h.store.Lookup(t.Context(), fmt.Sprint("t", k))
		if err != nil {
			t.Fatal("the first line has not got the key:", err)
		}
		if args, _, err := h.store.Args(t.Context(), f.Record); err != nil || string(args) != fmt.Sprint(lines-keys+k) {
			t.Errorf("key %d: %s is to run: %v", k, args, err)
		}
	}
}
