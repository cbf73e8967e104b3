package gateway

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
	"millrace/orders"
)

func TestAnswersAreWrittenAsTagged(t *testing.T) {
	at := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	const head, tail = `{"id":"t1","kind":"a","queue":"default","state":"succeeded","attempts":`, `,"submitted_at":"2010-12-01T08:26:00Z"}`
	task := func(result string) *taskView {
		r := millrace.Record{ID: "t1", Kind: "a", Queue: "default", State: millrace.Succeeded, SubmittedAt: at}
		if result != "" {
			r.Result = stdjson.RawMessage(result)
		}
		return viewTask(r)
	}
	full := task(`{"a":"\u0061<&>\/","n":12345678901234567890,"a":1.50}`)
	full.Attempts, full.Error, full.Lost, full.Tags = []attemptView{{Number: 1, StartedAt: at, EndedAt: at, Worker: "w", Stack: "s\xff"}}, "<e>", 1, []string{""}
	full.NextAt, full.FinishedAt, full.ExpiresAt = &at, &at, &at
	detail := func(value any) *problem {
		p := newProblem(422, "d")
		p.Errors = []*huma.ErrorDetail{{Message: "m", Location: "body.a", Value: value}}
		p.complete("/x")
		return p
	}
	const problem = `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"d","instance":"/x"`
	for _, c := range []struct {
		v    any
		want string
	}{
		{task(``), head + `[]` + tail},
		{task(`null`), head + `[],"result":null` + tail},
		{task(`{}`), head + `[],"result":{}` + tail},
		{task(`[ ]`), head + `[],"result":[]` + tail},
		{task(`""`), head + `[],"result":""` + tail},
		{task(`0`), head + `[],"result":0` + tail},
		{&taskView{SubmittedAt: at}, `{"id":"","kind":"","queue":"","state":"","attempts":null` + tail},
		{full, head + `[{"number":1,"started_at":"2010-12-01T08:26:00Z","ended_at":"2010-12-01T08:26:00Z","worker":"w","stack":"s` + "\uFFFD" + `"}],` +
			`"result":{"a":"\u0061<&>\/","n":12345678901234567890,"a":1.50},"error":"<e>","lost":1,"tags":[""],"submitted_at":"2010-12-01T08:26:00Z",` +
			`"next_at":"2010-12-01T08:26:00Z","finished_at":"2010-12-01T08:26:00Z","expires_at":"2010-12-01T08:26:00Z"}`},
		{orders.Order{}, `{"id":"","reference":"","customer_id":"","country":"","currency":"","date":"","items":null,"state":"","total_minor":0,"history":null}`},
		{newProblem(422, "d"), `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"d"}`},
		{detail(stdjson.Number("1.50")), problem + `,"errors":[{"message":"m","location":"body.a","value":1.50}]}`},
		{detail(false), problem + `,"errors":[{"message":"m","location":"body.a","value":false}]}`},
		{detail(0.0), problem + `,"errors":[{"message":"m","location":"body.a","value":0}]}`},
		{detail(nil), problem + `,"errors":[{"message":"m","location":"body.a"}]}`},
		{map[string]int{"b": 1, "a": 2}, `{"a":2,"b":1}`},
	} {
		var b, same bytes.Buffer
		if err := encodeJSON(&b, c.v); err != nil || b.String() != c.want+"\n" {
			t.Errorf("%v\n got: %swant: %s", err, b.String(), c.want)
		}
		e := stdjson.NewEncoder(&same)
		e.SetEscapeHTML(false)
		if err := e.Encode(c.v); err != nil || strings.ReplaceAll(same.String(), `\ufffd`, "\uFFFD") != b.String() {
			t.Errorf("%v\nby encoding/json: %s", err, same.String())
		}
	}
	var b bytes.Buffer
	if err := encodeJSON(&b, sampleAnswer{ID: "a", Args: stdjson.RawMessage(`{`)}); err == nil || b.Len() > 0 {
		t.Errorf("%v, after %q", err, b.String())
	}
}

func TestWhatAFieldCannotHold(t *testing.T) {
	for text, want := range map[string]string{
		`{"kind":"a","max_attempts":1.5}`:                         `body.max_attempts: cannot hold the number 1.5`,
		`{"kind":"a","max_attempts":99999999999999999999}`:        `body.max_attempts: cannot hold the number 99999999999999999999`,
		`{"args":[{"0":1}],"tags":["a",{"b":1}]}`:                 `body.tags[1]: cannot hold the object`,
		`{"backoff":{"policy":"list","delays":["1s",  "2s", 3]}}`: `body.backoff.delays[2]: cannot hold the number`,
		`{"backoff":[]}`: `body.backoff: cannot hold the array`,
		`{"kind":true}`:  `body.kind: cannot hold the true`,
		`[]`:             `body: cannot hold the array`,
		`{"a":1,"a":2}`:  `duplicate key "a" in body, at byte 7`,
	} {
		if err := decodeJSON([]byte(text), new(taskBody)); err == nil || err.Error() != want {
			t.Errorf("%s\n got: %v\nwant: %s", text, err, want)
		}
	}
	var b taskBody
	if err := decodeJSON([]byte(`{"KIND":"a","Args":1,"args":null,"other":1}`), &b); err != nil || b.Kind != "" || string(b.Args) != "null" {
		t.Errorf("%+v, %v", b, err)
	}
	if err := decodeJSON([]byte("{"), &b); err == nil {
		t.Error("half an object is taken")
	} else if _, ok := errors.AsType[*jsonError](err); !ok {
		t.Errorf("%T", err)
	}
}
