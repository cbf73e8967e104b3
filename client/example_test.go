package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"millrace"
	"millrace/client"
	"millrace/embedded"
	"millrace/gateway"
	"millrace/processor"
	"millrace/scheduler"
	"millrace/streams"
)

// Mail is what a task of the kind "mail.send" works on, and Sent what comes of it.
type (
	Mail struct {
		To string `json:"to"`
	}
	Sent struct {
		Message string `json:"message"`
	}
)

// start starts a Millrace with a scheduler, and a worker for "mail.send" and connects to it.
func start() (c *client.Client, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	dir := must(os.MkdirTemp("", "millrace"))
	server := must(embedded.Start(ctx, embedded.Config{DataDir: dir, Port: -1}))
	store := must(streams.Open(ctx, streams.Config{InProcess: server}))
	p := processor.New(store, processor.Config{})
	processor.Handle(p, "mail.send", func(_ context.Context, t millrace.Task[Mail]) (Sent, error) {
		if t.Args.To == "" {
			return Sent{}, millrace.Permanent(errors.New("there is nobody to write to"))
		}
		return Sent{"to " + t.Args.To}, nil
	}, processor.Kind{})
	g := must(gateway.New(store, gateway.Config{Listen: "127.0.0.1:0"}))
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{p.Run, g.Run, scheduler.New(store, scheduler.Config{}).Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				panic(err)
			}
		})
	}
	c = must(client.New("http://"+g.Addr().String(), client.Config{}))
	return c, func() {
		c.Close()
		cancel()
		running.Wait()
		store.Close()
		server.Shutdown()
		os.RemoveAll(dir)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ExampleClient_Submit() {
	c, stop := start() // client.New("http://127.0.0.1:8080", client.Config{})
	defer stop()
	ctx := context.Background()

	receipt, err := c.Submit(ctx, client.Task{Kind: "mail.send", Args: Mail{To: "ada@example.com"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	sent, err := client.Result[Sent](ctx, c, receipt.ID)
	fmt.Println(sent.Message, err)
	// Output: to ada@example.com <nil>
}

// Options say how a task is carried out, and a key that it is the same one.
func ExampleClient_Submit_options() {
	c, stop := start()
	defer stop()
	task := client.Task{
		Kind: "mail.send", Args: Mail{To: "ada@example.com"},
		Delay:          millrace.Duration(time.Hour),
		IdempotencyKey: "welcome-ada",
		Options: millrace.Options{
			MaxAttempts: 10,
			Backoff:     &millrace.Backoff{Policy: millrace.Exponential, Delay: millrace.Duration(time.Second)},
			Tags:        []string{"welcome"},
		},
	}
	first, err := c.Submit(context.Background(), task)
	fmt.Println(first.State, err)
	again, err := c.Submit(context.Background(), task)
	fmt.Println(again.ID == first.ID, again.Replayed, err)
	// Output:
	// scheduled <nil>
	// true true <nil>
}

func ExampleClient_SubmitMany() {
	c, stop := start()
	defer stop()
	answers, err := c.SubmitMany(context.Background(), []client.Task{
		{Kind: "mail.send", Args: Mail{To: "ada@example.com"}},
		{Kind: "Mail", Args: Mail{To: "bob@example.com"}},
	})
	for _, a := range answers {
		fmt.Println(a.State, errors.Is(a.Err, millrace.ErrInvalid))
	}
	fmt.Println(err != nil)
	// Output:
	// pending false
	//  true
	// true
}

func ExampleClient_Wait() {
	c, stop := start()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	receipt, err := c.Submit(ctx, client.Task{Kind: "mail.send", Args: Mail{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	record, err := c.Wait(ctx, receipt.ID)
	fmt.Println(record.State, record.Error, err)
	// Output: failed there is nobody to write to <nil>
}

func ExampleClient_Cancel() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	receipt, err := c.Submit(ctx, client.Task{Kind: "mail.send", Args: Mail{To: "ada"}, Delay: millrace.Duration(time.Hour)})
	if err != nil {
		fmt.Println(err)
		return
	}
	record, err := c.Cancel(ctx, receipt.ID)
	fmt.Println(record.State, err)
	_, err = c.Cancel(ctx, "no-such-task")
	fmt.Println(errors.Is(err, millrace.ErrNotFound))
	// Output:
	// cancelled <nil>
	// true
}

func ExampleClient_PutSchedule() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	s, err := c.PutSchedule(ctx, millrace.Schedule{
		Name: "greet-ada", Kind: "mail.send", Args: json.RawMessage(`{"to": "ada@example.com"}`),
		Cron: "0 9 * * mon-fri", Zone: "Europe/Berlin",
	})
	fmt.Println(s.Name, s.NextAt.IsZero(), err)
	receipt, err := c.RunSchedule(ctx, s.Name, "") // also now
	fmt.Println(receipt.Kind, err)
	fmt.Println(c.CancelSchedule(ctx, s.Name))
	// Output:
	// greet-ada false <nil>
	// mail.send <nil>
	// <nil>
}
