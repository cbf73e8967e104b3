package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"millrace/bench/load"
)

// lists is how often each list is asked for.
const lists = 50

// find finishes many tasks, of which one in a hundred is tagged, and asks for the newest
// 100 of those; then for a tag that no task has, page by page to the end.
func find(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found := map[string]figures{}
	_, err := b.with(ctx, c, func(sys *system) (figures, error) {
		n := b.scale.million
		if err := sys.Fill(n); err != nil {
			return nil, err
		}
		if err := sys.Work(); err != nil {
			return nil, err
		}
		if err := sys.Await(n); err != nil {
			return nil, err
		}
		time.Sleep(b.scale.settle)
		idle, err := resident(sys.PIDs)
		if err != nil {
			return nil, err
		}
		m, err := sys.meter()
		if err != nil {
			return nil, err
		}
		watch := watchPeak(sys.PIDs)
		some, _, err := sys.list(lists, url.Values{"tag": {"rare"}, "state": {"succeeded"}}, 100)
		if err != nil {
			return nil, err
		}
		peak, err := watch.end()
		if err != nil {
			return nil, err
		}
		found["findMemory"] = figures{memory.name: peak[memory.name] - idle}
		watch = watchPeak(sys.PIDs)
		none, looked, err := sys.list(1, url.Values{"tag": {"none"}}, 0)
		if err != nil {
			return nil, err
		}
		if looked < n {
			return nil, fmt.Errorf("to find nothing only %d of %d were looked at", looked, n)
		}
		if peak, err = watch.end(); err != nil {
			return nil, err
		}
		found["findNoneMemory"] = figures{memory.name: peak[memory.name] - idle}
		cores, err := m.stop()
		if err != nil {
			return nil, err
		}
		found["find"], found["findNone"] = some.add(cores), none
		return nil, nil
	})
	return found, err
}

// list asks for all pages until it has so many tasks, or there are no more; that some
// times. It returns how long each page took, and how many entries were looked at.
func (s *system) list(times int, query url.Values, want int) (found figures, looked int, err error) {
	var took load.Histogram
	conn, err := load.Dial(s.Addr)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	for range times {
		query.Del("after")
		for got := 0; ; {
			query.Set("limit", strconv.Itoa(cmp.Or(want-got, 100)))
			start := time.Now()
			status, body, err := conn.Do(load.AppendGet(nil, "/v1/tasks", "?"+query.Encode()))
			if err == nil {
				err = expect(http.StatusOK, status, body)
			}
			if err != nil {
				return nil, 0, err
			}
			took.Add(time.Since(start))
			var page struct {
				Tasks  []json.RawMessage `json:"tasks"`
				Next   string            `json:"next_cursor"`
				Looked int               `json:"looked"`
			}
			if err := json.Unmarshal(body, &page); err != nil {
				return nil, 0, err
			}
			looked += page.Looked
			if got += len(page.Tasks); want > 0 && got >= want || page.Next == "" {
				if got != want {
					return nil, 0, fmt.Errorf("%d tasks were found, not %d", got, want)
				}
				break
			}
			query.Set("after", page.Next)
		}
	}
	return figures{p50.name: inMilliseconds(took.Quantile(0.50)), p99.name: inMilliseconds(took.Quantile(0.99))}, looked, nil
}
