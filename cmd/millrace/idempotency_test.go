package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestRacingGateways sends the same request with the same Idempotency-Key to two
// gateways at once, eight times, for each of forty keys.
func TestRacingGateways(t *testing.T) {
	const keys, racers = 40, 8
	b := startBroker(t)
	_, one := startGateway(t, b)
	_, two := startGateway(t, b)
	gateways := []*client{one, two}

	for k := range keys {
		path, body := raceBody(k)
		key := fmt.Sprintf("key %d", k)
		replies := make([][]reply, racers)
		errs := make([]error, racers)
		var racing sync.WaitGroup
		for r := range racers {
			racing.Go(func() {
				replies[r], errs[r] = gateways[r%2].insist(t.Context(), path, body, key)
			})
		}
		racing.Wait()
		judgeRace(t, key, replies, errs)

		again := gateways[k%2].post(t, path, body, "Idempotency-Key", key)
		last := replies[0][len(replies[0])-1]
		if again.status != http.StatusAccepted || again.header.Get("Idempotent-Replayed") != "true" || string(again.body) != string(last.body) {
			t.Errorf("%s again: %s %v", key, again, again.header)
		}
		other := gateways[k%2].post(t, path, raceOther(k), "Idempotency-Key", key)
		wantProblem(t, other, http.StatusUnprocessableEntity)
	}
	if n := inspect(t, b.url).state(t, "TASKS_default").LastSeq; n != keys {
		t.Errorf("%d tasks for %d keys", n, keys)
	}
}

// raceBody is an order or a task, in turn; raceOther is another one.
func raceBody(k int) (path, body string) {
	if k%2 == 0 {
		return "/v1/orders", fmt.Sprintf(`{"reference":"%d","currency":"EUR","items":[{"sku":"A","quantity":1,"unit_price_minor":5}]}`, k)
	}
	return "/v1/tasks", fmt.Sprintf(`{"kind":"race.run","args":{"n":%d}}`, k)
}

func raceOther(k int) string {
	_, body := raceBody(k + 1_000)
	return body
}

// insist sends the request until it is not told that a twin is at work, and returns
// all answers.
func (c *client) insist(ctx context.Context, path, body, key string) (all []reply, err error) {
	err = poll(func() error {
		r, err := c.send(ctx, http.MethodPost, path, body, "Idempotency-Key", key)
		if err != nil {
			return err
		}
		all = append(all, r)
		if r.status == http.StatusConflict {
			return fmt.Errorf("%s: %s", key, r)
		}
		return nil
	})
	return all, err
}

// judgeRace checks that every racer was given the same answer in the end, or told
// to wait; and that just one was the first.
func judgeRace(t *testing.T, key string, replies [][]reply, errs []error) {
	t.Helper()
	firsts := 0
	answers := map[string]bool{}
	for i, all := range replies {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		for _, r := range all {
			if r.status == http.StatusConflict {
				wantProblem(t, r, http.StatusConflict)
				if r.header.Get("Retry-After") == "" {
					t.Errorf("%s: not told when to try again: %s", key, r)
				}
				continue
			}
			if r.status != http.StatusAccepted {
				t.Errorf("%s: %s", key, r)
			}
			if r.header.Get("Idempotent-Replayed") != "true" {
				firsts++
			}
			answers[string(r.body)] = true
		}
	}
	if firsts != 1 || len(answers) != 1 {
		t.Errorf("%s: %d first answers, and %d that differ: %v", key, firsts, len(answers), answers)
	}
}

// TestAbandonedClaim is what happens to a key whose gateway died on the way.
func TestAbandonedClaim(t *testing.T) {
	const body = `{"kind":"race.run"}`
	node, api := startDev(t)
	broker := inspect(t, node.says(t, natsAddress))
	claim := func(key, id string, until time.Time) {
		t.Helper()
		kv, err := broker.js.KeyValue(t.Context(), "claims")
		if err != nil {
			t.Fatal(err)
		}
		value, err := json.Marshal(map[string]any{"fingerprint": hash(body), "id": id, "until": until})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(t.Context(), hash("task\x00"+key), value); err != nil {
			t.Fatal(err)
		}
	}
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)

	claim("claimed", "abandoned-1", past)
	if id := api.submit(t, body, "Idempotency-Key", "claimed"); id != "abandoned-1" {
		t.Errorf("a claim for abandoned-1 was taken over as %s", id)
	}

	// Here the task was submitted as well, and only the answer is missing.
	id := api.submit(t, body, "Idempotency-Key", "submitted")
	claim("submitted", id, past)
	if again := api.submit(t, body, "Idempotency-Key", "submitted"); again != id {
		t.Errorf("the task %s was submitted again as %s", id, again)
	}
	if n := broker.state(t, "TASKS_default").LastSeq; n != 2 {
		t.Errorf("%d tasks for 2 keys", n)
	}

	claim("held", "held-1", future)
	r := api.post(t, "/v1/tasks", body, "Idempotency-Key", "held")
	wantProblem(t, r, http.StatusConflict)
	if n := broker.state(t, "TASKS_default").LastSeq; n != 2 || r.header.Get("Retry-After") == "" {
		t.Errorf("a held claim: %d tasks, %v", n, r.header)
	}
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
