// Package control is how the benchmark commands a system under test: an order and
// an answer, a line of JSON each, on the standard input and output of its process.
// When the input ends so does the process, so none is left behind whatever
// happens to the benchmark.
package control

import "time"

// Hello is the first line that a system says, once it serves.
type Hello struct {
	// Addr is where its HTTP API is.
	Addr string `json:"addr"`
	// PIDs are the processes it consists of.
	PIDs []int `json:"pids"`
	// Version says what it is, for the report.
	Version string `json:"version"`
}

// The orders.
const (
	fill    = "fill"    // queue N tasks, without HTTP
	work    = "work"    // start the worker
	await   = "await"   // answer when N tasks are finished
	profile = "profile" // begin a CPU profile at Path, or end it

	batch  = "batch"  // start the worker with a handler of N tasks at once
	later  = "later"  // submit N tasks for the time At, without HTTP
	late   = "late"   // answer how late the latest of N tasks of schedules came, in s
	fail   = "fail"   // queue N tasks that fail, without HTTP
	queued = "queued" // answer how many tasks are in the log
	waits  = "waits"  // answer the 99th percentile of what tasks waited, in ms
	shop   = "shop"   // start N workers of the order service
	stock  = "stock"  // say that there are N of each of SKUs
)

type order struct {
	Do   string `json:"do"`
	N    int    `json:"n,omitempty"`
	Path string `json:"path,omitempty"`

	At   time.Time `json:"at,omitzero"`
	SKUs []string  `json:"skus,omitempty"`
}

type answer struct {
	Error string  `json:"error,omitempty"`
	Value float64 `json:"value,omitempty"`
}
