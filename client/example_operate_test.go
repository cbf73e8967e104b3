package client_test

import (
	"context"
	"fmt"
	"time"

	"millrace"
	"millrace/client"
)

// Of the tasks with a key one runs at a time, in the order in which they were submitted.
func ExampleClient_Submit_key() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	if _, err := c.PauseQueue(ctx, "default"); err != nil { // so that there is something to see
		fmt.Println(err)
		return
	}
	var ids []string
	for _, to := range []string{"ada@example.com", "ada@example.org"} {
		receipt, err := c.Submit(ctx, client.Task{Kind: "mail.send", Args: Mail{To: to}, Options: millrace.Options{Key: "customer:ada"}})
		if err != nil {
			fmt.Println(err)
			return
		}
		ids = append(ids, receipt.ID)
	}
	second, err := c.Get(ctx, ids[1])
	fmt.Println(second.State, second.HeldBy, err)

	if _, err := c.ResumeQueue(ctx, "default"); err != nil {
		fmt.Println(err)
		return
	}
	second, err = c.Wait(ctx, ids[1])
	fmt.Println(second.State, err)
	first, err := c.Get(ctx, ids[0])
	fmt.Println(first.State, first.Attempts[0].EndedAt.After(second.Attempts[0].StartedAt), err)
	// Output:
	// pending key-customer=3Aada <nil>
	// succeeded <nil>
	// succeeded false <nil>
}

// A task that has failed for good is kept, and can be brought back with other args.
func ExampleClient_Redrive() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	receipt, err := c.Submit(ctx, client.Task{Kind: "mail.send", Args: Mail{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.Wait(ctx, receipt.ID); err != nil {
		fmt.Println(err)
		return
	}
	for dead, err := range c.Dead(ctx, client.DeadQuery{Kind: "mail.send", Error: "nobody"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(dead.ID == receipt.ID, dead.Error)
		record, err := c.Redrive(ctx, dead.ID, Mail{To: "ada@example.com"})
		fmt.Println(record.State, record.Redrives, err)
	}
	sent, err := client.Result[Sent](ctx, c, receipt.ID)
	fmt.Println(sent.Message, err)
	// Output:
	// true there is nobody to write to
	// pending 1 <nil>
	// to ada@example.com <nil>
}

// Tasks wait in a queue that is paused.
func ExampleClient_PauseQueue() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	paused, err := c.PauseQueue(ctx, "default")
	fmt.Println(paused.Paused.IsZero(), err)
	receipt, err := c.Submit(ctx, client.Task{Kind: "mail.send", Args: Mail{To: "ada@example.com"}})
	fmt.Println(receipt.State, err)
	queues, err := c.Queues(ctx)
	for _, q := range queues {
		if q.Name == "default" {
			fmt.Println(q.Pending, err)
		}
	}
	resumed, err := c.ResumeQueue(ctx, "default")
	fmt.Println(resumed.Paused.IsZero(), err)
	sent, err := client.Result[Sent](ctx, c, receipt.ID)
	fmt.Println(sent.Message, err)
	// Output:
	// false <nil>
	// pending <nil>
	// 1 <nil>
	// true <nil>
	// to ada@example.com <nil>
}

// A worker says of itself what it does.
func ExampleClient_Workers() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	for {
		workers, err := c.Workers(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		if len(workers) > 0 { // it has only just been started
			fmt.Println(len(workers), workers[0].Kinds, workers[0].Busy, workers[0].Quiet)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	// Output: 1 [mail.send] 0 false
}
