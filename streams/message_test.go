package streams

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
)

// What is written must stay readable for older and newer processes, and for
// whoever looks with the nats command. An encoder that takes "omitempty" to mean
// {} or "" as well would lose results.
func TestJSONThatIsKept(t *testing.T) {
	const (
		task       = `{"id":"t1","kind":"demo.echo","queue":"default"`
		record     = `{"id":"t1","kind":"demo.echo","queue":"default","state":"succeeded"`
		submitted  = `,"submitted_at":"2010-12-01T08:26:00Z"}`
		everything = `{"a":[1,{"b":"\u0061\/"}],"a":1.50,"n":12345678901234567890}`
	)
	at := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	for _, c := range []struct{ value, kept string }{
		{``, ``}, // none
		{`null`, `null`},
		{`{}`, `{}`},
		{`[]`, `[]`},
		{`""`, `""`},
		{`0`, `0`},
		{`false`, `false`},
		{`"<a href='x'>&</a>"`, `"<a href='x'>&</a>"`},
		{" { \"a\" :\n [ ] } ", `{"a":[]}`},
		{everything, everything},
	} {
		var value json.RawMessage
		args, result := "", ""
		if c.value != "" {
			value, args, result = json.RawMessage(c.value), `,"args":`+c.kept, `,"result":`+c.kept
		}
		keeps(t, millrace.RawTask{ID: "t1", Kind: "demo.echo", Queue: "default", Args: value, SubmittedAt: at}, task+args+submitted)
		keeps(t, millrace.Record{ID: "t1", Kind: "demo.echo", Queue: "default", State: millrace.Succeeded, Result: value, SubmittedAt: at}, record+result+submitted)
	}

	keeps(t, millrace.RawTask{
		ID: "t1", Kind: "demo.echo", Queue: "default", SubmittedAt: at,
		Options: millrace.Options{
			MaxAttempts: 3, Timeout: millrace.Duration(90 * time.Second), ResultTTL: millrace.Duration(time.Hour), Tags: []string{"a", ""},
			Backoff: &millrace.Backoff{Policy: millrace.List, Delays: []millrace.Duration{0, 1}, Jitter: 0.5},
		},
	}, task+`,"max_attempts":3,"backoff":{"policy":"list","delays":["0s","1ns"],"jitter":0.5},"timeout":"1m30s","result_ttl":"1h0m0s","tags":["a",""]`+submitted)
	keeps(t, millrace.RawTask{
		ID: "t1", Kind: "demo.echo", Queue: "default", SubmittedAt: at, Options: millrace.Options{Backoff: &millrace.Backoff{}},
	}, task+`,"backoff":{"policy":""}`+submitted)
	keeps(t, millrace.Record{
		ID: "t1", Kind: "demo.echo", Queue: "default", State: millrace.Succeeded, SubmittedAt: at,
		Attempts: []millrace.Attempt{{Number: 1, StartedAt: at, EndedAt: at, Worker: "w", Error: "<no>"}},
		Error:    "x", Tags: []string{"a"}, NextAt: at, FinishedAt: at.Add(1), ExpiresAt: at, Lost: 2,
	}, record+`,"attempts":[{"number":1,"started_at":"2010-12-01T08:26:00Z","ended_at":"2010-12-01T08:26:00Z","worker":"w","error":"<no>"}],`+
		`"error":"x","tags":["a"],"submitted_at":"2010-12-01T08:26:00Z","next_at":"2010-12-01T08:26:00Z",`+
		`"finished_at":"2010-12-01T08:26:00.000000001Z","expires_at":"2010-12-01T08:26:00Z","lost":2}`)
	none := millrace.RawTask{ID: "t1", Args: json.RawMessage{}}
	for _, v := range []any{none, waiting{Task: none}} {
		if data, err := encode(v); err != nil || bytes.Contains(data, []byte("args")) {
			t.Errorf("empty args: %s, %v", data, err)
		}
	}
	keeps(t, floor{math.MaxUint64}, `{"sequence":18446744073709551615}`)
}

// keeps checks that v is written as text and read back, and that encoding/json,
// which users have, means the same by the tags.
func keeps[T any](t *testing.T, v T, text string) {
	t.Helper()
	data, err := encode(v)
	if err != nil || string(data) != text {
		t.Errorf("%v\n got: %s\nwant: %s", err, data, text)
	}
	var again T
	if err := decode(data, &again); err != nil {
		t.Errorf("%s: %v", data, err)
	}
	if data, err = encode(again); err != nil || string(data) != text {
		t.Errorf("read and written again it is\n%s, %v, instead of\n%s", data, err, text)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil || b.String() != text+"\n" {
		t.Errorf("by encoding/json it is %v\n%s instead of\n%s", err, b.String(), text)
	}
}

func TestWhatOthersWroteIsRead(t *testing.T) {
	var got millrace.Record
	err := decode([]byte(`{"newer":{"a":1,"a":2},"id":"t1","error":"a`+"\xff"+`b","result":{"a":"`+"\xff"+`","a":1},"lost":1,"lost":2}`), &got)
	want := millrace.Record{ID: "t1", Error: "a\uFFFDb", Result: json.RawMessage(`{"a":"` + "\xff" + `","a":1}`), Lost: 2}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if data, err := encode(millrace.Record{Error: "a\xffb", Result: got.Result}); err != nil {
		t.Errorf("%s: %v", data, err)
	}
	for _, bad := range []string{``, `{`, `{} {}`, `[]`, `{"id":1}`, `{"result":}`, `{"result":01}`} {
		if err := decode([]byte(bad), &got); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if data, err := encode(millrace.RawTask{Args: json.RawMessage(`{"a":}`)}); err == nil {
		t.Errorf("written as %s", data)
	}
}
