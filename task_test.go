package millrace_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"millrace"
)

func TestDurationJSON(t *testing.T) {
	for _, c := range []struct {
		json string
		want time.Duration
	}{
		{`"30s"`, 30 * time.Second},
		{`"1h30m"`, 90 * time.Minute},
		{`"0s"`, 0},
		{`"0"`, 0},
		{`"1.5h"`, 90 * time.Minute},
		{`"-2ms"`, -2 * time.Millisecond},
	} {
		var d millrace.Duration
		if err := json.Unmarshal([]byte(c.json), &d); err != nil || time.Duration(d) != c.want {
			t.Errorf("%s: got %s, %v", c.json, d, err)
		}
	}
	for _, bad := range []string{`30`, `"30"`, `""`, `"soon"`, `"1d"`, `{}`, `"9999999h"`, `true`} {
		var d millrace.Duration
		if err := json.Unmarshal([]byte(bad), &d); err == nil {
			t.Errorf("%s became %s", bad, d)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := millrace.Duration(rapid.Int64().Draw(t, "d"))
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back millrace.Duration
		if err := json.Unmarshal(data, &back); err != nil || back != d {
			t.Fatalf("%s became %s, %v", data, back, err)
		}
	})
}

// The stored form of a task is read by later releases: it must not change by
// accident.
func TestTaskJSON(t *testing.T) {
	full := millrace.RawTask{
		ID: "t1", Kind: "mail.send", Queue: "bulk", Args: json.RawMessage(`{"to":"a"}`),
		Options: millrace.Options{
			MaxAttempts: 2,
			Backoff: &millrace.Backoff{
				Policy: millrace.List, Delays: []millrace.Duration{seconds(1), seconds(60)}, Jitter: 0.1,
			},
			Timeout: seconds(5), ResultTTL: seconds(3600), Tags: []string{"x", "y"},
		},
		SubmittedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Attempt:     7,
	}
	for _, c := range []struct {
		name string
		task millrace.RawTask
		want string
	}{
		{
			"full", full,
			`{"id":"t1","kind":"mail.send","queue":"bulk","args":{"to":"a"},"max_attempts":2,` +
				`"backoff":{"policy":"list","delays":["1s","1m0s"],"jitter":0.1},"timeout":"5s","result_ttl":"1h0m0s",` +
				`"tags":["x","y"],"submitted_at":"2026-01-02T03:04:05.000000006Z"}`,
		},
		{
			"bare",
			millrace.RawTask{ID: "t2", Kind: "k", Queue: "default"},
			`{"id":"t2","kind":"k","queue":"default","submitted_at":"0001-01-01T00:00:00Z"}`,
		},
	} {
		data, err := json.Marshal(c.task)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(data); got != c.want {
			t.Errorf("%s: got\n%s, want\n%s", c.name, got, c.want)
		}
		var back millrace.RawTask
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		c.task.Attempt = 0 // not stored
		if diff := cmp.Diff(c.task, back); diff != "" {
			t.Errorf("%s came back changed (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRecordJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := millrace.Record{
		ID: "t1", Kind: "k", Queue: "default", State: millrace.Retrying, Error: "no luck", SubmittedAt: at, NextAt: at.Add(time.Minute),
		Attempts: []millrace.Attempt{{Number: 1, StartedAt: at, EndedAt: at.Add(time.Second), Worker: "w", Error: "no luck"}},
	}
	const want = `{"id":"t1","kind":"k","queue":"default","state":"retrying",` +
		`"attempts":[{"number":1,"started_at":"2026-01-02T03:04:05Z","ended_at":"2026-01-02T03:04:06Z","worker":"w","error":"no luck"}],` +
		`"error":"no luck","submitted_at":"2026-01-02T03:04:05Z","next_at":"2026-01-02T03:05:05Z"}`
	data, err := json.Marshal(r)
	if err != nil || string(data) != want {
		t.Errorf("got %s, %v, want\n%s", data, err, want)
	}
	var back millrace.Record
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("came back changed (-want +got):\n%s", diff)
	}
}
