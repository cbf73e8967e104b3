package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

func (c *Client) order(o order) error {
	if err := c.orders.Encode(o); err != nil {
		return fmt.Errorf("%s: %w", o.Do, err)
	}
	var a answer
	if err := c.answers.Decode(&a); err != nil {
		return fmt.Errorf("%s: the system is gone: %w", o.Do, err)
	}
	if a.Error != "" {
		return fmt.Errorf("%s: %w", o.Do, errors.New(a.Error))
	}
	return nil
}
