package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// badRequest is a request as it goes over the wire: a line such as "POST /v1/tasks",
// headers a line each, and a body.
type badRequest struct {
	name, line, headers, body string
	status                    int // zero for any 4xx
}

func task(field string) string { return `{"kind":"mail.send",` + field + `}` }

func orderWith(field string) string {
	return `{"currency":"GBP","items":[{"sku":"A","quantity":1,"unit_price_minor":1}],` + field + `}`
}

func orderOf(item string) string { return `{"currency":"GBP","items":[` + item + `]}` }

const (
	asJSON    = "Content-Type: application/json"
	postTask  = "POST /v1/tasks"
	postOrder = "POST /v1/orders"
)

var long = strings.Repeat("x", 5<<10)

// malformed is what is wrong with a body before its fields are looked at. It is
// made when it is asked for: the processes that tests start are this binary too.
func malformed() []badRequest {
	return []badRequest{
		{"no body", postTask, asJSON, "", 400},
		{"not JSON", postTask, asJSON, `{"kind":`, 400},
		{"trailing comma", postTask, asJSON, `{"kind":"mail.send",}`, 400},
		{"two values", postTask, asJSON, `{"kind":"mail.send"}{"kind":"mail.send"}`, 400},
		{"text after", postTask, asJSON, `{"kind":"mail.send"} x`, 400},
		{"not UTF-8", postTask, asJSON, "{\"kind\":\"mail.send\",\"args\":\"\xff\xfe\"}", 400},
		{"single quotes", postTask, asJSON, `{'kind':'mail.send'}`, 400},
		{"NaN", postTask, asJSON, task(`"args":NaN`), 400},
		{"an array", postTask, asJSON, `[{"kind":"mail.send"}]`, 422},
		{"null", postTask, asJSON, `null`, 0},
		{"a string", postOrder, asJSON, `"order"`, 422},
		{"too deep", postTask, asJSON, task(`"args":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), 0},
		{"duplicate key", postTask, asJSON, `{"kind":"mail.send","kind":"order.placed"}`, 0},
		{"duplicate key in args", postTask, asJSON, task(`"args":{"a":1,"a":2}`), 0},
		{"duplicate key in an order", postOrder, asJSON, orderWith(`"currency":"EUR"`), 0},
		{"unknown field", postTask, asJSON, task(`"prioritty":1`), 422},
		{"unknown field of an order", postOrder, asJSON, orderWith(`"discount":1`), 422},
		{"unknown field of a line", postOrder, asJSON, orderOf(`{"sku":"A","quantity":1,"unit_price_minor":1,"size":"L"}`), 422},
		{"other case", postTask, asJSON, `{"Kind":"mail.send"}`, 422},
		{"too large", postTask, asJSON, task(`"args":"` + strings.Repeat("x", 256<<10) + `"`), 413},
		{"no type", postTask, "", `{"kind":"mail.send"}`, 415},
		{"a form", postTask, "Content-Type: application/x-www-form-urlencoded", `kind=mail.send`, 415},
		{"text", postTask, "Content-Type: text/plain", `{"kind":"mail.send"}`, 415},
		{"gzip", postTask, asJSON + "\r\nContent-Encoding: gzip", zipped(`{"kind":"mail.send"}`), 415},
		{"a bomb", postTask, asJSON + "\r\nContent-Encoding: gzip", zipped(strings.Repeat(" ", 8<<20)), 415},
		{"gzip that is not said", postTask, asJSON, zipped(`{"kind":"mail.send"}`), 400},
	}
}

// unfit is what is wrong with the fields.
func unfit() []badRequest {
	return []badRequest{
		{"no kind", postTask, asJSON, `{}`, 422},
		{"kind of another type", postTask, asJSON, `{"kind":1}`, 422},
		{"kind with a wildcard", postTask, asJSON, `{"kind":"mail.*"}`, 422},
		{"kind with the other", postTask, asJSON, `{"kind":">"}`, 422},
		{"kind with a space", postTask, asJSON, `{"kind":"mail send"}`, 422},
		{"kind with a line break", postTask, asJSON, `{"kind":"mail.send\r\nPUB tasks"}`, 422},
		{"kind with a line break at its end", postTask, asJSON, `{"kind":"mail.send\n"}`, 422},
		{"kind with empty tokens", postTask, asJSON, `{"kind":"mail..send"}`, 422},
		{"kind with five tokens", postTask, asJSON, `{"kind":"a.b.c.d.e"}`, 422},
		{"kind in capitals", postTask, asJSON, `{"kind":"Mail.Send"}`, 422},
		{"kind that is long", postTask, asJSON, `{"kind":"` + long + `"}`, 422},
		{"kind beyond ASCII", postTask, asJSON, `{"kind":"mäil.send"}`, 422},
		{"queue that is not there", postTask, asJSON, task(`"queue":"express"`), 422},
		{"queue with a wildcard", postTask, asJSON, task(`"queue":"*"`), 422},
		{"queue with dots", postTask, asJSON, task(`"queue":"default.x"`), 422},
		{"queue that is long", postTask, asJSON, task(`"queue":"` + long + `"`), 422},
		{"timeout without a unit", postTask, asJSON, task(`"timeout":"30"`), 422},
		{"timeout of another type", postTask, asJSON, task(`"timeout":30`), 422},
		{"timeout below zero", postTask, asJSON, task(`"timeout":"-1s"`), 422},
		{"timeout of zero", postTask, asJSON, task(`"timeout":"0s"`), 422},
		{"timeout without end", postTask, asJSON, task(`"timeout":"9999h"`), 422},
		{"result_ttl too short", postTask, asJSON, task(`"result_ttl":"1ms"`), 422},
		{"result_ttl too long", postTask, asJSON, task(`"result_ttl":"169h"`), 422},
		{"max_attempts below zero", postTask, asJSON, task(`"max_attempts":-1`), 422},
		{"max_attempts of zero", postTask, asJSON, task(`"max_attempts":0`), 422},
		{"max_attempts that is huge", postTask, asJSON, task(`"max_attempts":99999999999999999999`), 422},
		{"max_attempts with a fraction", postTask, asJSON, task(`"max_attempts":1.5`), 422},
		{"backoff of another type", postTask, asJSON, task(`"backoff":"30s"`), 422},
		{"backoff without policy", postTask, asJSON, task(`"backoff":{"delay":"1s"}`), 422},
		{"backoff policy unknown", postTask, asJSON, task(`"backoff":{"policy":"linear"}`), 422},
		{"backoff list that is empty", postTask, asJSON, task(`"backoff":{"policy":"list","delays":[]}`), 422},
		{"backoff list that is bad", postTask, asJSON, task(`"backoff":{"policy":"list","delays":["1s","soon"]}`), 422},
		{"backoff too long", postTask, asJSON, task(`"backoff":{"policy":"fixed","delay":"25h"}`), 422},
		{"backoff jitter", postTask, asJSON, task(`"backoff":{"policy":"fixed","delay":"1s","jitter":1.5}`), 422},
		{"delay of another type", postTask, asJSON, task(`"delay":30`), 422},
		{"delay below zero", postTask, asJSON, task(`"delay":"-1s"`), 422},
		{"delay beyond all", postTask, asJSON, task(`"delay":"2562047h"`), 422},
		{"delay and time", postTask, asJSON, task(`"delay":"1s","run_at":"2027-01-01T00:00:00Z"`), 422},
		{"time that is none", postTask, asJSON, task(`"run_at":"2027-02-30T00:00:00Z"`), 422},
		{"time without a zone", postTask, asJSON, task(`"run_at":"2027-01-01T00:00:00"`), 422},
		{"time too far", postTask, asJSON, task(`"run_at":"9999-12-31T23:59:59Z"`), 422},
		{"key that is empty", postTask, asJSON, task(`"key":""`), 422},
		{"key that is long", postTask, asJSON, task(`"key":"` + strings.Repeat("é", 51) + `"`), 422},
		{"key with a line break", postTask, asJSON, task(`"key":"a\r\nb"`), 422},
		{"key of another type", postTask, asJSON, task(`"key":42`), 422},
		{"tags of another type", postTask, asJSON, task(`"tags":"a"`), 422},
		{"tags too many", postTask, asJSON, task(`"tags":[` + strings.Repeat(`"a",`, 20) + `"a"]`), 422},
		{"tag that is long", postTask, asJSON, task(`"tags":["` + long + `"]`), 422},
		{"tag that is empty", postTask, asJSON, task(`"tags":[""]`), 422},
		{"order without items", postOrder, asJSON, `{"currency":"GBP","items":[]}`, 422},
		{"order of another type", postOrder, asJSON, `{"currency":"GBP","items":{}}`, 422},
		{"order without currency", postOrder, asJSON, `{"items":[{"sku":"A","quantity":1,"unit_price_minor":1}]}`, 422},
		{"order in no currency", postOrder, asJSON, `{"currency":"pounds","items":[{"sku":"A","quantity":1,"unit_price_minor":1}]}`, 422},
		{"order_id with a wildcard", postOrder, asJSON, orderWith(`"order_id":"*"`), 422},
		{"order_id with the other", postOrder, asJSON, orderWith(`"order_id":"a.>"`), 422},
		{"order_id with a space", postOrder, asJSON, orderWith(`"order_id":"a b"`), 422},
		{"order_id with a line break", postOrder, asJSON, orderWith(`"order_id":"a\r\nb"`), 422},
		{"order_id that is long", postOrder, asJSON, orderWith(`"order_id":"` + long + `"`), 422},
		{"quantity of another type", postOrder, asJSON, orderOf(`{"sku":"A","quantity":"1","unit_price_minor":1}`), 422},
		{"quantity with a fraction", postOrder, asJSON, orderOf(`{"sku":"A","quantity":0.5,"unit_price_minor":1}`), 422},
		{"quantity that overflows", postOrder, asJSON, orderOf(`{"sku":"A","quantity":9223372036854775808,"unit_price_minor":1}`), 422},
		{"total that overflows", postOrder, asJSON, orderOf(`{"sku":"A","quantity":1000000000,"unit_price_minor":9007199254740991}`), 422},
		{"price of zero", postOrder, asJSON, orderOf(`{"sku":"A","quantity":1,"unit_price_minor":0}`), 422},
		{"reference that is long", postOrder, asJSON, orderWith(`"reference":"` + long + `"`), 422},
		{"reference with a line break", postOrder, asJSON, orderWith(`"reference":"a\r\nb"`), 422},
		{"empty key", postTask, asJSON + "\r\nIdempotency-Key: \"\"", smallTask, 422},
		{"long key", postTask, asJSON + "\r\nIdempotency-Key: " + long, smallTask, 422},
		{"key beyond ASCII", postTask, asJSON + "\r\nIdempotency-Key: schl\xc3\xbcssel", smallTask, 422},
		{"key with a tab", postTask, asJSON + "\r\nIdempotency-Key: a\tb", smallTask, 422},
	}
}

// astray is what has nothing to do with a body.
func astray() []badRequest {
	return []badRequest{
		{"unknown route", "GET /v2/tasks", "", "", 404},
		{"the root of the API", "GET /v1", "", "", 404},
		{"a slash too many", "GET /v1/tasks/", "", "", 404},
		{"another case", "GET /V1/Tasks/a", "", "", 404},
		{"a path that climbs", "GET /v1/tasks/../../etc/passwd", "", "", 404},
		{"wrong method", "DELETE /v1/orders/a", "", "", 405},
		{"list of what has no list", "GET /v1/tasks?state=lost", "", "", 422},
		{"list from nowhere", "GET /v1/tasks?after=z-z", "", "", 422},
		{"list without end", "GET /v1/tasks?limit=1000000", "", "", 422},
		{"cancel what never was", "DELETE /v1/tasks/never", "", "", 404},
		{"cancel all", "DELETE /v1/tasks/*", "", "", 422},
		{"cancel the list", "DELETE /v1/tasks", "", "", 405},
		{"schedule with a wildcard", "PUT /v1/schedules/*", asJSON, `{"kind":"a","every":"1m"}`, 422},
		{"schedule without a name", "PUT /v1/schedules", asJSON, `{"kind":"a","every":"1m"}`, 405},
		{"schedule without a time", "PUT /v1/schedules/s", asJSON, `{"kind":"a"}`, 422},
		{"schedule with too many", "PUT /v1/schedules/s", asJSON, `{"kind":"a","every":"1m","cron":"@daily"}`, 422},
		{"schedule of what never comes", "PUT /v1/schedules/s", asJSON, `{"kind":"a","cron":"0 0 30 2 *"}`, 422},
		{"cron without end", "PUT /v1/schedules/s", asJSON, `{"kind":"a","cron":"` + strings.Repeat("*", 10_000) + `"}`, 422},
		{"zone that climbs", "PUT /v1/schedules/s", asJSON, `{"kind":"a","cron":"@daily","zone":"../../etc/passwd"}`, 422},
		{"zone of the machine", "PUT /v1/schedules/s", asJSON, `{"kind":"a","cron":"@daily","zone":"Local"}`, 422},
		{"time in the past", "PUT /v1/schedules/s", asJSON, `{"kind":"a","at":"2001-01-01T00:00:00Z"}`, 422},
		{"time beyond all", "PUT /v1/schedules/s", asJSON, `{"kind":"a","at":"9999-12-31T23:59:59Z"}`, 422},
		{"schedule that never was", "GET /v1/schedules/never", "", "", 404},
		{"run of what never was", "POST /v1/schedules/never/run", "", "", 404},
		{"run from another page", "POST /v1/schedules/never/run", "Origin: http://elsewhere.example", "", 403},
		{"cancel what is no schedule", "DELETE /v1/schedules/never", "", "", 404},
		{"webhook of nobody", "POST /v1/webhooks/payment", asJSON, `{"type":"payment.succeeded"}`, 404},
		{"PUT", "PUT /v1/orders", asJSON, smallOrder, 405},
		{"method of nobody", "BREW /v1/tasks", "", "", 405},
		{"id that never was", "GET /v1/tasks/never", "", "", 404},
		{"order that never was", "GET /v1/orders/never", "", "", 404},
		{"id with a wildcard", "GET /v1/tasks/*", "", "", 422},
		{"id with the other", "GET /v1/tasks/%3E", "", "", 422},
		{"id with dots", "GET /v1/tasks/a.b", "", "", 422},
		{"id with a space", "GET /v1/tasks/a%20b", "", "", 422},
		{"id with a line break", "GET /v1/tasks/a%0D%0Ab", "", "", 422},
		{"id with a slash", "GET /v1/orders/a%2Fb", "", "", 0},
		{"id that is long", "GET /v1/tasks/" + long, "", "", 422},
		{"order id with a wildcard", "GET /v1/orders/*", "", "", 422},
		{"wait for what is no time", "GET /v1/tasks/a?wait=soon", "", "", 422},
		{"wait too long", "GET /v1/tasks/a?wait=24h", "", "", 422},
		{"wait below zero", "GET /v1/tasks/a?wait=-1s", "", "", 422},
		{"unknown query", "GET /v1/tasks/a?await=1s", "", "", 422},
		{"headers without end", "GET /healthz", "X-Long: " + long + long, "", 431},
		{"a header that smuggles", postTask, asJSON + "\r\nNats-Msg-Id : 1", smallTask, 400},
		{"two lengths", postTask, asJSON + "\r\nContent-Length: 3", smallTask, 400},
		{"length and chunks", postTask, asJSON + "\r\nTransfer-Encoding: chunked", smallTask, 400},
	}
}

// overbearing is what would change how all processes work.
func overbearing() []badRequest {
	return []badRequest{
		{"queue that never was", "GET /v1/queues/never", "", "", 404},
		{"pause of what never was", "POST /v1/queues/never/pause", "", "", 404},
		{"pause of all", "POST /v1/queues/*/pause", "", "", 422},
		{"pause from another page", "POST /v1/queues/default/pause", "Origin: http://elsewhere.example", "", 403},
		{"drain of what never was", "POST /v1/queues/never/drain", "", "", 404},
		{"resume of what never was", "POST /v1/queues/never/resume", "", "", 404},
		{"purge without a count", "POST /v1/queues/default/purge", "", "", 422},
		{"purge of fewer than none", "POST /v1/queues/default/purge?confirm=-1", "", "", 422},
		{"purge of what is not there", "POST /v1/queues/default/purge?confirm=3", "", "", 409},
		{"purge of what never was", "POST /v1/queues/never/purge?confirm=0", "", "", 404},
		{"queue with a wildcard", "POST /v1/queues", asJSON, `{"name":"*"}`, 422},
		{"queue without a name", "POST /v1/queues", asJSON, `{"weight":1}`, 422},
		{"queue that weighs less than nothing", "POST /v1/queues", asJSON, `{"name":"a","weight":-1}`, 422},
		{"queue with a long name", "POST /v1/queues", asJSON, `{"name":"` + long + `"}`, 422},
		{"pause of no kind", "POST /v1/kinds/*/pause", "", "", 422},
		{"pause of a kind of five words", "POST /v1/kinds/a.b.c.d.e/pause", "", "", 422},
		{"routes to nowhere", "PUT /v1/routes", asJSON, `{"routes":[{"kinds":"*","queue":"never"}]}`, 422},
		{"routes of no glob", "PUT /v1/routes", asJSON, `{"routes":[{"kinds":"[","queue":"bulk"}]}`, 422},
		{"routes that are missing", "PUT /v1/routes", asJSON, `{}`, 422},
		{"routes that are null", "PUT /v1/routes", asJSON, `{"routes":null}`, 422},
		{"worker that never was", "POST /v1/workers/never/stop", "", "", 404},
		{"all workers", "POST /v1/workers/*/stop", "", "", 422},
		{"worker with a dot", "POST /v1/workers/a.b/quiet", "", "", 422},
		{"worker without handlers", "POST /v1/workers/never/concurrency", asJSON, `{"concurrency":0}`, 422},
		{"stacks of nobody", "GET /v1/workers/never/stacks", "", "", 404},
	}
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, s)
	if err != nil || w.Close() != nil {
		panic(err)
	}
	return b.String()
}

// TestBadInput sends what a gateway must refuse. Each is answered by a problem,
// nothing is stored, and the connection to the broker stays up.
func TestBadInput(t *testing.T) {
	node, api := startDev(t)
	address := strings.TrimPrefix(api.base, "http://")
	broker := inspect(t, node.says(t, natsAddress))
	before := broker.written(t)
	for _, bad := range slices.Concat(malformed(), unfit(), astray(), overbearing()) {
		t.Run(strings.ReplaceAll(bad.name, " ", "-"), func(t *testing.T) {
			r, err := bad.send(address)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkProblem(r); err != nil || r.status/100 != 4 || bad.status != 0 && r.status != bad.status {
				t.Errorf("%.300s, want a problem with status %d: %v", r, bad.status, err)
			}
			if r.status == http.StatusMethodNotAllowed && r.header.Get("Allow") == "" {
				t.Error("not told which methods are allowed")
			}
			if len(r.body) > 4<<10 {
				t.Errorf("a problem of %d bytes", len(r.body))
			}
			if r := api.get(t, "/readyz"); r.status != http.StatusOK {
				t.Errorf("afterwards the node is not ready: %s", r)
			}
		})
	}
	after := broker.written(t)
	after["AUDIT"] = before["AUDIT"] // it says that somebody tried
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error("something was stored:", diff)
	}
	said, _ := node.output.current()
	if bytes.Contains(said, []byte("lost the connection")) || bytes.Contains(said, []byte("level=ERROR")) {
		t.Errorf("the node was troubled:\n%s", said)
	}
	if task, err := api.finished(t.Context(), api.submit(t, `{"kind":"demo.echo"}`)); err != nil || task.State != "succeeded" {
		t.Errorf("afterwards: %+v, %v", task, err)
	}
}

// send writes the request as it is, on a connection of its own.
func (b badRequest) send(address string) (reply, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return reply{}, err
	}
	request := b.line + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n"
	if b.headers != "" {
		request += b.headers + "\r\n"
	}
	if strings.HasPrefix(b.line, "P") {
		request += fmt.Sprintf("Content-Length: %d\r\n", len(b.body))
	}
	// It may answer, and close, before it has all: then the answer counts.
	_, sent := io.WriteString(conn, request+"\r\n"+b.body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return reply{}, errors.Join(err, sent)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, data}, err
}
