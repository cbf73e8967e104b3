package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Client commands a system.
type Client struct {
	orders  *json.Encoder
	answers *json.Decoder
}

// Connect waits for the system's hello. The streams are the process's standard
// input and output.
func Connect(in io.Writer, out io.Reader) (*Client, Hello, error) {
	c := &Client{json.NewEncoder(in), json.NewDecoder(out)}
	var hello Hello
	err := c.answers.Decode(&hello)
	return c, hello, err
}

// Fill queues n tasks.
func (c *Client) Fill(n int) error { return c.order(order{Do: fill, N: n}) }

// Work starts the worker.
func (c *Client) Work() error { return c.order(order{Do: work}) }

// Await returns when n tasks are finished, since the system started.
func (c *Client) Await(n int) error { return c.order(order{Do: await, N: n}) }

// Profile begins a CPU profile, and the next call ends it: path is what the names of
// the files begin with.
func (c *Client) Profile(path string) error { return c.order(order{Do: profile, Path: path}) }

// WorkInBatches starts the worker with a handler that does many tasks at once.
func (c *Client) WorkInBatches(size int) error { return c.order(order{Do: batch, N: size}) }

// Later submits n tasks for a time.
func (c *Client) Later(n int, at time.Time) error { return c.order(order{Do: later, N: n, At: at}) }

// Late waits until n tasks of schedules are in the log, and returns how many seconds the
// latest came after it was due. None may be early: their args say when they are due.
func (c *Client) Late(n int) (float64, error) { return c.ask(order{Do: late, N: n}) }

// Fail queues n tasks that fail whenever they are tried.
func (c *Client) Fail(n int) error { return c.order(order{Do: fail, N: n}) }

// Queued is how many tasks are in the log.
func (c *Client) Queued() (int, error) {
	n, err := c.ask(order{Do: queued})
	return int(n), err
}

// Waits is the 99th percentile of the time, in milliseconds, from submission to the
// handler, of the tasks that succeeded since it was asked last: before the first of
// those that fail was tried again, or since then.
func (c *Client) Waits(since bool) (float64, error) {
	o := order{Do: waits}
	if since {
		o.N = 1
	}
	return c.ask(o)
}

// Shop starts so many workers of the order service.
func (c *Client) Shop(workers int) error { return c.order(order{Do: shop, N: workers}) }

// Stock says how many there are of each of some goods.
func (c *Client) Stock(n int, skus []string) error {
	return c.order(order{Do: stock, N: n, SKUs: skus})
}

func (c *Client) order(o order) error {
	_, err := c.ask(o)
	return err
}

func (c *Client) ask(o order) (float64, error) {
	if err := c.orders.Encode(o); err != nil {
		return 0, fmt.Errorf("%s: %w", o.Do, err)
	}
	var a answer
	if err := c.answers.Decode(&a); err != nil {
		return 0, fmt.Errorf("%s: the system is gone: %w", o.Do, err)
	}
	if a.Error != "" {
		return 0, fmt.Errorf("%s: %w", o.Do, errors.New(a.Error))
	}
	return a.Value, nil
}
