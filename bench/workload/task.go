// Package workload is the task that every system under test is given: an order of
// a usual size, whose handler does nothing.
package workload

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Kind is the task's kind.
const Kind = "bench.noop"

// FailingKind is the kind of tasks that fail.
const FailingKind = "bench.fail"

// BodySize is how many bytes a submission has.
const BodySize = 300

// Args is what the handler gets, and does not look at.
type Args struct {
	Reference string `json:"reference"`
	Customer  string `json:"customer_id"`
	Currency  string `json:"currency"`
	Items     []Item `json:"items"`
	Note      string `json:"note"`
}

// Item is a line of the order.
type Item struct {
	SKU       string `json:"sku"`
	Quantity  int    `json:"quantity"`
	UnitPrice int64  `json:"unit_price_minor"`
}

// Submission is the body of POST /v1/tasks.
type Submission struct {
	Kind string          `json:"kind"`
	Args json.RawMessage `json:"args"`
}

// Accepted is what is needed of the answer to it, and of that to a GET.
type Accepted struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

// Body is the submission, of exactly [BodySize] bytes.
func Body() []byte {
	short := encode(Submission{Kind, argsWith("")})
	return encode(Submission{Kind, argsWith(strings.Repeat(".", BodySize-len(short)))})
}

// ArgsJSON is the args of the submission.
func ArgsJSON() json.RawMessage {
	var s Submission
	if err := json.Unmarshal(Body(), &s); err != nil {
		panic(err)
	}
	return s.Args
}

// ID is the id of task i of those that are queued without HTTP. It is as long as
// a UUID.
func ID(i int) string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", i) }

// Keyed is the submission of a task with that key.
func Keyed(key string) []byte {
	return encode(struct {
		Submission
		Key string `json:"key"`
	}{Submission{Kind, ArgsJSON()}, key})
}

// FailingID is the id of task i of those that fail.
func FailingID(i int) string { return fmt.Sprintf("00000000-0000-7000-9000-%012d", i) }

// LaterID is the id of task i of those that wait for their time.
func LaterID(i int) string { return fmt.Sprintf("00000000-0000-7000-a000-%012d", i) }

func argsWith(note string) json.RawMessage {
	return encode(Args{
		Reference: "536365", Customer: "17850", Currency: "GBP",
		Items: []Item{{"85123A", 6, 255}, {"71053", 6, 339}},
		Note:  note,
	})
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // these types always encode
	}
	return data
}
