// Package control is how the benchmark commands a system under test: an order and
// an answer, a line of JSON each, on the standard input and output of its process.
// When the input ends so does the process, so none is left behind whatever
// happens to the benchmark.
package control

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
)

type order struct {
	Do   string `json:"do"`
	N    int    `json:"n,omitempty"`
	Path string `json:"path,omitempty"`
}

type answer struct {
	Error string `json:"error,omitempty"`
}
